//! Stands between the store and its bucket: writes down every request, counts
//! what runs at once, and makes trouble on request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, header};
use parking_lot::Mutex;
use tokio::net::TcpListener;

const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

/// What happens to one request, instead of passing it on.
#[derive(Clone, Copy)]
pub(crate) enum Trouble {
    /// The bucket is not asked; this status and body are the answer.
    Answer(u16, &'static str),
    /// The bucket does it, but its answer is replaced.
    Lost(u16, &'static str),
    /// The bucket is asked for the whole object, whatever the range.
    NoRanges,
    /// The body ends early, as if that were all.
    Short,
    /// The bucket is not asked; the answer begins like one and never ends.
    Endless,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) len: u64,
}

impl Seen {
    /// Whether this uploads a part.
    pub(crate) fn is_part(&self) -> bool {
        self.method == Method::PUT && self.query.contains("partNumber=")
    }
}

struct Ahead {
    method: Method,
    query: &'static str,
    trouble: Trouble,
}

struct Shared {
    upstream: String,
    client: reqwest::Client,
    ahead: Mutex<Vec<Ahead>>,
    seen: Mutex<Vec<Seen>>,
    running: AtomicUsize,
    peak: AtomicUsize,
    away: AtomicBool,
    poured: AtomicUsize,
}

pub(crate) struct BucketProxy {
    pub(crate) endpoint: String,
    shared: Arc<Shared>,
}

impl BucketProxy {
    pub(crate) async fn start(upstream: &str) -> Self {
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            client: clipkeep::tls::client_builder().no_proxy().build().unwrap(),
            ahead: Mutex::default(),
            seen: Mutex::default(),
            running: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            away: AtomicBool::new(false),
            poured: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, shared }
    }

    /// The next request with this method whose query holds `query` meets this
    /// trouble, once. Said again, the one after it does, and so on.
    pub(crate) fn trouble(&self, method: Method, query: &'static str, trouble: Trouble) {
        self.shared.ahead.lock().push(Ahead { method, query, trouble });
    }

    /// From now on the bucket takes nothing, or takes all again.
    pub(crate) fn set_away(&self, away: bool) {
        self.shared.away.store(away, Ordering::SeqCst);
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// The most parts that were on their way at once.
    pub(crate) fn peak(&self) -> usize {
        self.shared.peak.load(Ordering::SeqCst)
    }

    /// How many bytes of endless answers were sent.
    pub(crate) fn poured(&self) -> usize {
        self.shared.poured.load(Ordering::SeqCst)
    }

    /// Whether all trouble that was said ahead came to pass.
    pub(crate) fn is_calm(&self) -> bool {
        self.shared.ahead.lock().is_empty()
    }
}

impl Shared {
    fn note(&self, request: &Request) -> Seen {
        let len = request.headers().get(header::CONTENT_LENGTH).map_or(0, |len| len.to_str().unwrap().parse().unwrap());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let path = request.uri().path().to_owned();
        let seen = Seen { method: request.method().clone(), path, query, len };
        self.seen.lock().push(seen.clone());
        seen
    }

    fn take(&self, seen: &Seen) -> Option<Trouble> {
        let mut ahead = self.ahead.lock();
        let at = ahead.iter().position(|a| a.method == seen.method && seen.query.contains(a.query))?;
        Some(ahead.remove(at).trouble)
    }

    async fn forward(&self, request: Request, trouble: Option<Trouble>) -> (http::response::Parts, Bytes) {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let mut headers = parts.headers;
        if matches!(trouble, Some(Trouble::NoRanges)) {
            headers.remove(header::RANGE);
        }
        let url = format!("{}{}", self.upstream, parts.uri);
        // The host the request was signed for stays in its header.
        let sent = self.client.request(parts.method, url).headers(headers).body(body).send().await.unwrap();
        let (parts, body) = http::Response::<reqwest::Body>::from(sent).into_parts();
        let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        (parts, body)
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let seen = shared.note(&request);
    let away = shared.away.load(Ordering::SeqCst).then_some(Trouble::Answer(503, SLOW_DOWN));
    let trouble = away.or_else(|| shared.take(&seen));
    if seen.is_part() {
        let running = shared.running.fetch_add(1, Ordering::SeqCst) + 1;
        shared.peak.fetch_max(running, Ordering::SeqCst);
    }
    let response = answer(&shared, request, trouble).await;
    if seen.is_part() {
        shared.running.fetch_sub(1, Ordering::SeqCst);
    }
    response
}

async fn answer(shared: &Arc<Shared>, request: Request, trouble: Option<Trouble>) -> Response {
    if let Some(Trouble::Endless) = trouble {
        return endless(Arc::clone(shared));
    }
    if let Some(Trouble::Answer(status, body)) = trouble {
        to_bytes(request.into_body(), usize::MAX).await.unwrap();
        return replaced(status, body);
    }
    let (mut parts, mut body) = shared.forward(request, trouble).await;
    match trouble {
        Some(Trouble::Lost(status, body)) => {
            assert!(parts.status.is_success(), "the bucket was to succeed: {}", parts.status);
            return replaced(status, body);
        }
        Some(Trouble::Short) => {
            parts.headers.remove(header::CONTENT_LENGTH);
            body.truncate(body.len() / 2);
        }
        _ => {}
    }
    hop_by_hop(&mut parts.headers);
    Response::from_parts(parts, Body::from(body))
}

fn endless(shared: Arc<Shared>) -> Response {
    const PIECE: &[u8] = &[b' '; 64 * 1024];
    let pour = move |piece: &'static [u8]| {
        shared.poured.fetch_add(piece.len(), Ordering::SeqCst);
        Ok::<_, std::convert::Infallible>(Bytes::from_static(piece))
    };
    let pieces = futures_util::stream::repeat(PIECE).map(pour);
    let body = futures_util::stream::iter([Ok(Bytes::from_static(b"<ListBucketResult>"))]).chain(pieces);
    Response::new(Body::from_stream(body))
}

fn hop_by_hop(headers: &mut HeaderMap) {
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::CONNECTION);
}

fn replaced(status: u16, body: &'static str) -> Response {
    Response::builder().status(status).header(header::CONTENT_TYPE, "application/xml").body(Body::from(body)).unwrap()
}
