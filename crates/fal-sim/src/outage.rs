//! How the API hosts misbehave.

use std::time::Duration;

use axum::{
    body::Body,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use serde::Deserialize;

/// The pause before each piece of an answer that is cut.
const GAP: Duration = Duration::from_millis(50);

/// What the next calls of the API hosts get instead of an answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outage {
    /// Only calls whose path starts with this, such as `/queue`; all if empty.
    pub on: String,
    pub times: u32,
    /// Answer with this status; without it the call goes on as usual, once it
    /// has stalled.
    pub status: Option<u16>,
    pub body: String,
    pub headers: Vec<(String, String)>,
    /// Milliseconds before anything is answered.
    pub stall_ms: u64,
    /// Break the connection: instead of an answer, or after `body` where there is
    /// a `status`.
    pub cut: bool,
}

impl Default for Outage {
    fn default() -> Self {
        Self {
            on: String::new(),
            times: u32::MAX,
            status: None,
            body: String::new(),
            headers: vec![("content-type".into(), "application/json".into())],
            stall_ms: 0,
            cut: false,
        }
    }
}

impl Outage {
    /// Answers with `status` and this JSON text.
    pub fn status(status: u16, body: &str) -> Self {
        Self { status: Some(status), body: body.into(), ..Self::default() }
    }

    /// fal's own failure: 500.
    pub fn internal_error() -> Self {
        let body = r#"{"detail": "Internal Server Error", "error_type": "internal_error"}"#;
        Self::status(500, body).header("x-fal-error-type", "internal_error")
    }

    /// No runner can be had: 503.
    pub fn no_runner() -> Self {
        let body =
            r#"{"detail": "No runner is available for this request", "error_type": "runner_scheduling_failure"}"#;
        Self::status(503, body).header("x-fal-error-type", "runner_scheduling_failure")
    }

    /// Too many calls at once: 429, to be tried again after `secs`.
    pub fn too_many(secs: u32) -> Self {
        let body = r#"{"detail": "Too many concurrent requests", "error_type": "concurrent_requests_limit"}"#;
        Self::status(429, body)
            .header("x-fal-error-type", "concurrent_requests_limit")
            .header("retry-after", &secs.to_string())
    }

    /// Breaks the connection.
    pub fn cut() -> Self {
        Self { cut: true, ..Self::default() }
    }

    /// Answers only after `ms` milliseconds.
    pub fn stall(ms: u64) -> Self {
        Self { stall_ms: ms, ..Self::default() }
    }

    /// Breaks the connection once the answer's body was sent.
    #[must_use]
    pub fn then_cut(self) -> Self {
        Self { cut: true, ..self }
    }

    /// For so many calls only.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// For calls whose path starts with this only.
    #[must_use]
    pub fn on(self, path: &str) -> Self {
        Self { on: path.into(), ..self }
    }

    /// With one header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn stall_time(&self) -> Duration {
        Duration::from_millis(self.stall_ms)
    }

    /// The answer instead of a good one, if there is one.
    pub(crate) fn answer(&self) -> Option<Response> {
        let mut response = Response::builder().status(self.status?);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let unsayable = |_| StatusCode::INTERNAL_SERVER_ERROR.into_response();
        let body = match self.cut {
            true => {
                let pieces = [Ok(self.body.clone()), Err(std::io::Error::other("cut"))];
                Body::from_stream(stream::iter(pieces).then(|piece| async {
                    // A break right behind the bytes would take them along.
                    tokio::time::sleep(GAP).await;
                    piece
                }))
            }
            false => Body::from(self.body.clone()),
        };
        Some(response.body(body).unwrap_or_else(unsayable))
    }
}

#[derive(Default)]
pub(crate) struct Outages(Mutex<Vec<Outage>>);

impl Outages {
    pub(crate) fn set(&self, outages: Vec<Outage>) {
        *self.0.lock() = outages;
    }

    /// The outage that a call of this path falls into; it is used up by that.
    pub(crate) fn meet(&self, path: &str) -> Option<Outage> {
        let mut outages = self.0.lock();
        let outage = outages.iter_mut().find(|outage| outage.times > 0 && path.starts_with(&outage.on))?;
        outage.times -= 1;
        Some(outage.clone())
    }
}
