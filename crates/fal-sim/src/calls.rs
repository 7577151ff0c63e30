//! What was asked of the API hosts, so that tests can see what was forwarded.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use axum::{body::Body, http::request::Parts};
use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use ring::digest;
use serde_json::Value;

/// How much of a body is kept; all of it is counted and hashed.
const KEPT: usize = 64 << 10;
/// How many calls are remembered: the newest.
const REMEMBERED: usize = 10_000;

/// One call of an API host.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    /// The path under its host, such as `/queue/fal-ai/veo3`.
    pub path: String,
    /// The query as it was written.
    pub query: String,
    /// All headers, names in lower case.
    pub headers: Vec<(String, String)>,
    status: Arc<AtomicU16>,
    body: Arc<Mutex<Seen>>,
}

/// What came of a body so far.
struct Seen {
    len: u64,
    hash: digest::Context,
    start: Vec<u8>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} bytes", self.len)
    }
}

impl Call {
    pub(crate) fn new(parts: &Parts, path: String) -> Self {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let seen = Seen { len: 0, hash: digest::Context::new(&digest::SHA256), start: Vec::new() };
        Self {
            method: parts.method.to_string(),
            path,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
            status: Arc::default(),
            body: Arc::new(Mutex::new(seen)),
        }
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The answer's status; 0 while there is none, or if the wire was cut.
    pub fn status(&self) -> u16 {
        self.status.load(Ordering::Relaxed)
    }

    /// How many bytes of the body came.
    pub fn body_len(&self) -> u64 {
        self.body.lock().len
    }

    /// Lower-case hex SHA-256 of the body.
    pub fn body_sha256(&self) -> String {
        data_encoding::HEXLOWER.encode(self.body.lock().hash.clone().finish().as_ref())
    }

    /// The body's JSON, if it is some, and small.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body.lock().start).ok()
    }

    pub(crate) fn set_status(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// The same body, which is noted as it is read.
    pub(crate) fn noted(&self, body: Body) -> Body {
        let seen = Arc::clone(&self.body);
        Body::from_stream(body.into_data_stream().inspect(move |chunk| {
            if let Ok(chunk) = chunk {
                seen.lock().add(chunk);
            }
        }))
    }
}

impl Seen {
    fn add(&mut self, chunk: &Bytes) {
        self.len += chunk.len() as u64;
        self.hash.update(chunk);
        let room = KEPT.saturating_sub(self.start.len());
        self.start.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
}

#[derive(Default)]
pub(crate) struct Calls(Mutex<VecDeque<Call>>);

impl Calls {
    pub(crate) fn add(&self, call: Call) {
        let mut calls = self.0.lock();
        if calls.len() == REMEMBERED {
            calls.pop_front();
        }
        calls.push_back(call);
    }

    pub(crate) fn all(&self) -> Vec<Call> {
        self.0.lock().iter().cloned().collect()
    }
}
