//! Connections to sources, at judged addresses, and one request on one of them.
//! No proxy is ever used and no redirect followed.

use std::{
    error::Error,
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::Empty;
use hyper::{body::Incoming, ext::on_informational};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use parking_lot::Mutex;
use tokio::{net::TcpStream, sync::Notify, time::timeout};
use tower_service::Service;

use super::{SourceError, resolver::JudgingResolver};
use crate::tls::choose_ring;

/// Idle connections kept per host, and for how long.
const IDLE_PER_HOST: usize = 8;
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// A connection whose other end is gone is noticed after about this long, even
/// where nobody waits for its bytes.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// How many lines a head may have. CDNs in a row add up to dozens.
const MAX_HEADERS: usize = 400;
/// How many interim answers (1xx) may come before the answer, and how much
/// their headers may hold. Honest sources send one or two.
const MAX_INTERIM: usize = 16;
const MAX_INTERIM_BYTES: usize = 64 * 1024;

/// The connections. Cheap to clone; clones share them.
#[derive(Clone)]
pub(super) struct Connections(Client<Connector, Empty<Bytes>>);

impl Connections {
    /// Connections that come about within `connect_timeout` (the look-up, TCP
    /// and TLS) or not at all.
    pub(super) fn new(resolver: JudgingResolver, connect_timeout: Duration) -> Result<Self, rustls::Error> {
        choose_ring();
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Shared among the addresses of a name, so that a dead one leaves time
        // for the others.
        tcp.set_connect_timeout(Some(connect_timeout));
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
        tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        let https = HttpsConnectorBuilder::new()
            .try_with_platform_verifier()?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        // hyper bounds a head at about 400 KiB.
        let client = Client::builder(TokioExecutor::new())
            .http1_max_headers(MAX_HEADERS)
            // Lines that are folded over the next one, as old servers do (RFC 9112, 5.2).
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build(Connector { https, within: connect_timeout });
        Ok(Self(client))
    }

    /// The answer to a request, after a bounded number of interim ones, which
    /// hyper alone would pass over for ever. Dropping the future or the answer
    /// closes the connection.
    pub(super) async fn send(&self, mut request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, SourceError> {
        let flooded = Arc::new(Notify::new());
        let (tell, allowance) = (Arc::clone(&flooded), Mutex::new(Allowance::default()));
        on_informational(&mut request, move |interim| {
            if !allowance.lock().covers(interim.headers()) {
                tell.notify_one();
            }
        });
        tokio::select! {
            biased;
            () = flooded.notified() => Err(SourceError::flooded()),
            answer = self.0.request(request) => answer.map_err(|error| SourceError::unanswered(&error)),
        }
    }
}

/// Makes connections: look-up, TCP and TLS, all within one time.
#[derive(Clone)]
struct Connector {
    https: HttpsConnector<HttpConnector<JudgingResolver>>,
    within: Duration,
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connected = timeout(self.within, self.https.call(uri));
        Box::pin(
            async move { connected.await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) },
        )
    }
}

/// What has come of interim answers before one answer.
#[derive(Default)]
struct Allowance {
    heads: usize,
    bytes: usize,
}

impl Allowance {
    /// Whether one more, with these headers, may come.
    fn covers(&mut self, headers: &HeaderMap) -> bool {
        self.heads += 1;
        self.bytes += headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
        self.heads <= MAX_INTERIM && self.bytes <= MAX_INTERIM_BYTES
    }
}
