//! The listener: accepts connections, bounds them, and lets them end in peace.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use http::{Request, Response};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{
    framing,
    slots::{ConnectionSlot, ConnectionSlots},
    timer::Timeouts,
    usage_body::UsageBody,
    wire::Wire,
};
use crate::{
    app::App,
    descriptors,
    usage::{self, Meter},
};

/// How long a client may take to send a request's head, once it began.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How much of a request's head is read at most.
const MAX_HEAD: usize = 32 * 1024;
/// How many bytes may wait in the kernel before they can be sent. More only
/// takes memory for slow viewers, and what was queued long ago has left the
/// processor's cache when its turn comes.
const MAX_UNSENT: u32 = 64 * 1024;

/// Answers one request. Never fails: a failure is an answer.
pub(super) trait Answer: Send + Sync + 'static {
    /// Whether it is a viewer's: of those there may be many.
    fn is_viewer(request: &Request<Incoming>) -> bool;

    /// Whether a client of fal's reads the answer, errors too.
    fn is_by_fals_client(request: &Request<Incoming>) -> bool;

    /// The answer to a `request` from this address, and what is to be counted
    /// of it.
    fn answer(
        &self,
        request: Request<Incoming>,
        from: IpAddr,
    ) -> impl Future<Output = (Response<Body>, Option<usage::Answer>)> + Send;
}

/// How a listener treats its connections.
pub(super) struct Manners {
    /// How many there may be.
    pub(super) slots: Arc<ConnectionSlots>,
    /// How long they may stand still.
    pub(super) timeouts: Timeouts,
    /// How long running requests may take to end after `stop`.
    pub(super) grace: Duration,
}

impl Manners {
    /// As configured, with at most so many open files.
    pub(super) fn of(app: &App, files: usize) -> Self {
        let config = &app.config;
        let most = config.max_connections.min(files);
        if most < config.max_connections {
            tracing::warn!(most, max_connections = config.max_connections, "fewer files may be open (ulimit -n)");
        }
        Self {
            slots: ConnectionSlots::new(most, Arc::clone(&app.metrics)),
            timeouts: Timeouts { head: HEAD_TIMEOUT, idle: config.keep_alive, send: config.send_timeout },
            grace: config.shutdown_grace,
        }
    }
}

/// Serves connections of `listener` until `stop`; those for which there is no
/// place wait, the most of them in the kernel's queue.
pub(super) async fn serve<A: Answer>(listener: TcpListener, answer: Arc<A>, manners: Manners, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, from, slot) = tokio::select! {
            accepted = accept(&listener, &manners.slots) => accepted,
            () = stop.cancelled() => break,
        };
        // Either only makes things better: without them it works, too.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT);
        let meter = Meter::default();
        let slot = Arc::new(slot);
        let wire = Wire::new(stream, meter.clone(), Arc::clone(&slot.connection), manners.timeouts);
        let service = metered(Arc::clone(&answer), from.ip(), meter, Arc::clone(&slot));
        let connection = http1::Builder::new()
            // The wire has a timeout for it, which costs less.
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(wire), service);
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off is its own business.
            tokio::select! {
                _ = watched => {}
                () = slot.is_needed() => {}
            }
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(manners.grace, graceful.shutdown()).await;
}

/// Answers a connection's requests with bodies that are counted.
fn metered<A: Answer>(
    answer: Arc<A>,
    from: IpAddr,
    meter: Meter,
    slot: Arc<ConnectionSlot>,
) -> impl Service<Request<Incoming>, Response = Response<UsageBody>, Error = Infallible, Future: Send> {
    service_fn(move |request: Request<Incoming>| {
        // Who has sent all of its request may close its side and wait (RFC 9112,
        // section 9.6); but who closes on a stream without an end has left.
        slot.connection.is_busy();
        slot.connection.may_close(request.body().is_end_stream());
        slot.connection.takes_body(!request.body().is_end_stream());
        let (answer, meter, slot) = (Arc::clone(&answer), meter.clone(), Arc::clone(&slot));
        let long = framing::has_long_body(&request).then(|| request.method().clone());
        async move {
            let (response, counted) = match framing::refused(&request, A::is_by_fals_client(&request)) {
                Some(refused) => (refused, None),
                None if A::is_viewer(&request) && !slot.is_for_viewer() => (framing::crowded(), None),
                None => answer.answer(request, from).await,
            };
            let response = match long {
                Some(method) => framing::after_long_body(&method, response),
                None => response,
            };
            slot.connection.may_close(!framing::is_stream(&response));
            Ok(response.map(|body| UsageBody::new(body, counted, meter, Arc::clone(&slot.connection))))
        }
    })
}

/// The next connection and its place. Errors of `accept` belong to one connection or to a
/// shortage of file descriptors; neither is a reason to stop.
async fn accept(listener: &TcpListener, slots: &Arc<ConnectionSlots>) -> (TcpStream, SocketAddr, ConnectionSlot) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => return (stream, from, slots.enter().await),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                if descriptors::are_used_up(&error) {
                    slots.spare();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
