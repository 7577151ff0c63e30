//! An app's endpoint: writes down every request as it came, and answers as it
//! is told to.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};

/// What the endpoint does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Status(u16),
    /// With one more header.
    With(u16, &'static str, String),
    /// No answer at all.
    Hang,
}

/// One request as it came, and what it was answered.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
    pub(crate) reply: Reply,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// What it is about: the clip's key, or the generation's id.
    pub(crate) fn subject(&self) -> String {
        let data = &self.json()["data"];
        let subject = data["key"].as_str().or(data["request_id"].as_str());
        subject.unwrap().to_owned()
    }

    pub(crate) fn is_taken(&self) -> bool {
        matches!(self.reply, Reply::Status(status) if (200..300).contains(&status))
    }
}

type Rule = Box<dyn FnMut(&Got) -> Reply + Send>;

struct Shared {
    got: Mutex<Vec<Got>>,
    rule: Mutex<Rule>,
}

/// The endpoint. Nobody answers any more once it is dropped.
pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Receiver {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        Self::at(0).await
    }

    /// The same, on this port.
    pub(crate) async fn at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        // The path is a secret, as with many a service.
        let url = format!("http://{}/in/hunter2", listener.local_addr().unwrap());
        let rule: Rule = Box::new(|_| Reply::Status(204));
        let shared = Arc::new(Shared { got: Mutex::default(), rule: Mutex::new(rule) });
        let router = Router::new().fallback(take).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, server }
    }

    /// From now on answers by this rule.
    pub(crate) fn answer(&self, rule: impl FnMut(&Got) -> Reply + Send + 'static) {
        *self.shared.rule.lock() = Box::new(rule);
    }

    /// All requests so far.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.shared.got.lock().clone()
    }

    /// Those that were taken.
    pub(crate) fn taken(&self) -> Vec<Got> {
        self.got().into_iter().filter(Got::is_taken).collect()
    }

    /// The requests so far, once `enough` says so.
    pub(crate) async fn until(&self, what: &str, enough: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        let began = Instant::now();
        loop {
            let got = self.got();
            if enough(&got) {
                return got;
            }
            let told: Vec<_> = got.iter().map(|one| (one.subject(), &one.reply)).collect();
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "not {what}: {told:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let mut got = Got { headers: parts.headers, body, at: Instant::now(), reply: Reply::Hang };
    let reply = shared.rule.lock()(&got);
    got.reply = reply.clone();
    shared.got.lock().push(got);
    let response = match reply {
        Reply::Status(status) => Response::builder().status(status),
        Reply::With(status, name, value) => Response::builder().status(status).header(name, value),
        Reply::Hang => std::future::pending().await,
    };
    response.body(Body::empty()).unwrap()
}
