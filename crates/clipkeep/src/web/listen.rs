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
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use super::{framing, metered::Metered, wire::Wire};
use crate::usage::{self, Meter};

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How much of a request's head is read at most.
const MAX_HEAD: usize = 32 * 1024;
/// How many bytes may wait in the kernel before they can be sent. More only
/// takes memory for slow viewers, and what was queued long ago has left the
/// processor's cache when its turn comes.
const MAX_UNSENT: u32 = 64 * 1024;

/// Answers one request. Never fails: a failure is an answer.
pub(super) trait Answer: Send + Sync + 'static {
    /// The answer to a `request` from this address, and what is to be counted
    /// of it.
    fn answer(
        &self,
        request: Request<Incoming>,
        from: IpAddr,
    ) -> impl Future<Output = (Response<Body>, Option<usage::Answer>)> + Send;
}

/// Serves connections of `listener` until `stop`, at most `max_connections` at
/// once; further ones wait in the kernel's queue. After `stop`, running
/// requests have `grace` to end.
pub(super) async fn serve<A: Answer>(
    listener: TcpListener,
    answer: Arc<A>,
    max_connections: usize,
    stop: CancellationToken,
    grace: Duration,
) {
    let places = Arc::new(Semaphore::new(max_connections));
    let graceful = GracefulShutdown::new();
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let (stream, from) = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = stop.cancelled() => break,
        };
        // Either only makes things better: without them it works, too.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT);
        let meter = Meter::default();
        let service = metered(Arc::clone(&answer), from.ip(), meter.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            // Who has asked may close its side and wait (RFC 9112, section 9.6).
            .half_close(true)
            .serve_connection(TokioIo::new(Wire::new(stream, meter)), service);
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off is its own business.
            let _ = watched.await;
            drop(place);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(grace, graceful.shutdown()).await;
}

/// Answers a connection's requests with bodies that are counted.
fn metered<A: Answer>(
    answer: Arc<A>,
    from: IpAddr,
    meter: Meter,
) -> impl Service<Request<Incoming>, Response = Response<Metered>, Error = Infallible, Future: Send> {
    service_fn(move |request| {
        let (answer, meter) = (Arc::clone(&answer), meter.clone());
        async move {
            let (response, counted) = match framing::refused(&request) {
                Some(refused) => (refused, None),
                None => answer.answer(request, from).await,
            };
            Ok(response.map(|body| Metered::new(body, counted, meter)))
        }
    })
}

/// The next connection. Errors of `accept` belong to one connection or to a
/// shortage of file descriptors; neither is a reason to stop.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
