//! The app's body, read to its end before fal hears of the call: so its prompt
//! can stand in the webhook's URL, and a slow app holds no connection to fal.

use std::time::Duration;

use axum::body::Body;
use clipkeep_core::proxy::{Capture, Captured};
use futures_util::StreamExt;
use http::{HeaderMap, header};
use tokio::time::timeout;

use super::ProxyError;
use crate::body_spool::SpooledBody;

/// The longest body that is passed.
const MAX_BODY: u64 = 1 << 30;
/// How long an app may send nothing in the middle of its body.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take over all of it.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(1800);

/// A body, and what it tells.
pub(super) struct Upload {
    body_spool: SpooledBody,
    pub(super) captured: Captured,
}

impl Upload {
    /// Reads all of it. Dropping the future leaves nothing.
    pub(super) async fn read(body: Body, body_spool: SpooledBody) -> Result<Self, ProxyError> {
        let read = timeout(UPLOAD_TIMEOUT, Self::read_all(body, body_spool)).await;
        read.map_err(|_| ProxyError::Body("takes too long"))?
    }

    async fn read_all(body: Body, mut body_spool: SpooledBody) -> Result<Self, ProxyError> {
        let mut capture = Capture::default();
        let mut chunks = body.into_data_stream();
        loop {
            let next = timeout(STALL_TIMEOUT, chunks.next()).await.map_err(|_| ProxyError::Body("stands still"))?;
            let Some(chunk) = next else { break };
            let chunk = chunk.map_err(|_| ProxyError::Body("broke off"))?;
            if body_spool.len() + chunk.len() as u64 > MAX_BODY {
                return Err(ProxyError::TooLarge { max: MAX_BODY });
            }
            capture.push(&chunk);
            body_spool.push(&chunk).await.map_err(ProxyError::body_spool)?;
        }
        Ok(Self { body_spool, captured: capture.finish() })
    }

    /// The body as it goes to fal; says its length in `headers`.
    pub(super) async fn into_body(self, headers: &mut HeaderMap) -> Result<reqwest::Body, ProxyError> {
        let len = self.body_spool.len();
        if len == 0 {
            return Ok(reqwest::Body::from(""));
        }
        headers.insert(header::CONTENT_LENGTH, len.into());
        let chunks = self.body_spool.read().await.map_err(ProxyError::body_spool)?;
        Ok(reqwest::Body::wrap_stream(chunks))
    }
}

/// Whether a body of these headers is said to be JSON that can be read as it is.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return false;
    }
    let essence = essence(headers);
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Whether a body of these headers is a stream of events.
pub(super) fn is_events(headers: &HeaderMap) -> bool {
    essence(headers) == "text/event-stream"
}

fn essence(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
