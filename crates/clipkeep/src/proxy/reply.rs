//! fal's answer: as it comes, or read to its end first.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use clipkeep_core::proxy::{Copy, Rewriter, SseRewriter, reply_headers};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, Response, StatusCode, header};
use tokio::time::timeout;

use super::{ProxyError, upload};
use crate::body_spool::SpooledBody;
use crate::provider::{RelayError, unanswered};

/// The longest answer that is read to its end.
const MAX_REPLY: u64 = 1 << 30;

/// How long such an answer may stand still in its middle.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);

/// Headers that speak of bytes which are not the ones that leave.
const OF_THE_BYTES: &[&str] = &["content-length", "content-encoding", "etag", "content-md5", "digest", "repr-digest"];

/// What a string of the answer is replaced by, if it is.
pub(super) type Replace = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// An answer whose body is to come.
pub(super) struct UpstreamReply {
    pub(super) status: StatusCode,
    /// Those that the app gets to see.
    pub(super) headers: HeaderMap,
    response: reqwest::Response,
    /// Where it waits, if it is read to its end.
    body_spool: SpooledBody,
}

impl UpstreamReply {
    pub(super) fn new(response: reqwest::Response, body_spool: SpooledBody) -> Self {
        Self { status: response.status(), headers: reply_headers(response.headers()), response, body_spool }
    }

    pub(super) fn is_json(&self) -> bool {
        upload::is_json(&self.headers) && !self.is_packed()
    }

    pub(super) fn is_events(&self) -> bool {
        upload::is_events(&self.headers) && !self.is_packed()
    }

    /// Though nobody asked for that. Such a body passes unread.
    fn is_packed(&self) -> bool {
        self.headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity")
    }

    /// Its bytes, as they come.
    pub(super) fn chunks(self) -> impl Stream<Item = Result<Bytes, RelayError>> + Send + 'static {
        self.response.bytes_stream().map(|chunk| chunk.map_err(|error| unanswered(&error)))
    }

    /// The answer, passed on as it comes.
    pub(super) fn pass(self, replace: Option<Replace>) -> Response<Body> {
        let (status, headers) = (self.status, self.headers.clone());
        let (is_json, is_events) = (self.is_json(), self.is_events());
        match replace {
            Some(replace) if is_json || is_events => {
                let change = if is_json { Change::json(replace) } else { Change::events(replace) };
                response(status, without_lengths(headers), Body::from_stream(changed(self.chunks(), change)))
            }
            _ => response(status, headers, Body::from_stream(self.chunks())),
        }
    }

    /// Reads all of it. `copy` is how much of it is copied to be looked at.
    pub(super) async fn collect(mut self, copy: usize) -> Result<CollectedReply, ProxyError> {
        let is_json = self.is_json();
        let (mut body_spool, mut copy) = (self.body_spool, Copy::new(copy));
        loop {
            let next = timeout(STALL_TIMEOUT, self.response.chunk()).await.map_err(|_| RelayError::Timeout)?;
            let Some(chunk) = next.map_err(|error| unanswered(&error))? else { break };
            if body_spool.len() + chunk.len() as u64 > MAX_REPLY {
                return Err(RelayError::Unreachable("answers with more than 1 GiB").into());
            }
            copy.push(&chunk);
            body_spool.push(&chunk).await.map_err(ProxyError::body_spool)?;
        }
        let copy = copy.into_bytes().map(Bytes::from);
        Ok(CollectedReply { status: self.status, headers: self.headers, copy, body_spool, is_json })
    }
}

/// An answer that is all there.
pub(super) struct CollectedReply {
    pub(super) status: StatusCode,
    /// Those that the app gets to see.
    pub(super) headers: HeaderMap,
    /// The body, long strings left out; none if it is too long even so.
    pub(super) copy: Option<Bytes>,
    body_spool: SpooledBody,
    is_json: bool,
}

impl CollectedReply {
    /// The body to be looked at: all of it, where strings were left out of its
    /// copy, since outputs may be among them; that is not brought into memory. Of a
    /// body that is longer than `most` the copy, if there is one.
    pub(super) async fn body(&mut self, most: u64) -> Result<Option<Bytes>, ProxyError> {
        match &self.copy {
            Some(copy) if copy.len() as u64 == self.body_spool.len() => Ok(Some(copy.clone())),
            // Without what was left out it may still tell of other outputs.
            copy if self.body_spool.len() > most => Ok(copy.clone()),
            _ => self.body_spool.map().await.map(Some).map_err(ProxyError::body_spool),
        }
    }

    /// The answer, with strings replaced if it is JSON.
    pub(super) async fn pass(self, replace: Option<Replace>) -> Result<Response<Body>, ProxyError> {
        let len = self.body_spool.len();
        let chunks = self.body_spool.read().await.map_err(ProxyError::body_spool)?;
        let Some(replace) = replace.filter(|_| self.is_json) else {
            let mut headers = self.headers;
            headers.insert(header::CONTENT_LENGTH, len.into());
            return Ok(response(self.status, headers, Body::from_stream(chunks)));
        };
        let headers = without_replaced(without_lengths(self.headers), &replace);
        Ok(response(self.status, headers, Body::from_stream(changed(chunks, Change::json(replace)))))
    }
}

fn response(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Without headers that hold what is replaced in the body, a `Link` for one.
fn without_replaced(headers: HeaderMap, replace: &Replace) -> HeaderMap {
    let holds = |text: &str| text.split([' ', ',', ';', '"', '<', '>']).any(|part| replace(part).is_some());
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in &headers {
        if !value.to_str().is_ok_and(holds) {
            kept.append(name, value.clone());
        }
    }
    kept
}

pub(super) fn without_lengths(mut headers: HeaderMap) -> HeaderMap {
    for name in OF_THE_BYTES {
        headers.remove(*name);
    }
    headers
}

type Replacing = Box<dyn Fn(&str) -> Option<String> + Send>;

/// A body that is changed while it passes.
enum Change {
    Json(Rewriter<Replacing>),
    Events(SseRewriter<Replacing>),
}

impl Change {
    fn json(replace: Replace) -> Self {
        Self::Json(Rewriter::new(Box::new(move |text| replace(text))))
    }

    fn events(replace: Replace) -> Self {
        Self::Events(SseRewriter::new(Box::new(move |text| replace(text))))
    }

    fn push(&mut self, bytes: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(bytes.len());
        match self {
            Self::Json(json) => json.push(bytes, &mut out),
            Self::Events(events) => events.push(bytes, &mut out),
        }
        out.into()
    }

    fn finish(&mut self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Json(json) => json.finish(&mut out),
            Self::Events(events) => events.finish(&mut out),
        }
        out.into()
    }
}

/// The chunks, changed. A body that breaks off breaks off here, too.
fn changed<E: Send + 'static>(
    chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    change: Change,
) -> impl Stream<Item = Result<Bytes, E>> + Send + 'static {
    let out = stream::unfold((Box::pin(chunks), Some(change)), |(mut chunks, change)| async move {
        let mut change = change?;
        Some(match chunks.next().await {
            Some(Ok(bytes)) => (Ok(change.push(&bytes)), (chunks, Some(change))),
            Some(Err(error)) => (Err(error), (chunks, None)),
            None => (Ok(change.finish()), (chunks, None)),
        })
    });
    // A chunk that holds back all it has is none.
    out.filter(|out| std::future::ready(!matches!(out, Ok(bytes) if bytes.is_empty())))
}
