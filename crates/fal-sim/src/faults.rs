//! How a file misbehaves.

use std::time::Duration;

use serde::Deserialize;

/// One request's worth of misbehaviour. The default behaves well.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// Answer with this status instead of the file.
    pub status: Option<u16>,
    /// `Retry-After` to go with it.
    pub retry_after: Option<String>,
    /// Redirect (302, or `status`) to here.
    pub redirect: Option<String>,
    /// Milliseconds before the answer begins.
    pub delay_ms: u64,
    /// Bytes per second.
    pub rate: Option<u64>,
    /// Stop sending at this offset of the file, for ever or for `stall_ms`.
    pub stall_at: Option<u64>,
    /// How long the stall lasts.
    pub stall_ms: Option<u64>,
    /// Stop sending at this offset of the file until [`Sim::let_go`](crate::Sim::let_go).
    pub hold_at: Option<u64>,
    /// Break the connection at this offset of the file.
    pub cut_at: Option<u64>,
    /// Ignore `Range`: always 200 with all of it, and no `Accept-Ranges`.
    pub no_ranges: bool,
    /// Say no length: chunked.
    pub chunked: bool,
    /// Say no length and close at the end, as HTTP/1.0 did.
    pub close_delimited: bool,
    /// Promise this length, whatever is sent.
    pub content_length: Option<String>,
    /// Answer any request for a range with this status.
    pub range_status: Option<u16>,
    /// Serve ranges, but say nothing of it in `Accept-Ranges`, or something else.
    pub accept_ranges: Option<String>,
    /// Serve the range even where `If-Range` names another version.
    pub ignore_if_range: bool,
    /// Shift the range that is sent (and said) by so many bytes.
    pub range_shift: u64,
    /// Say this in `Content-Range`.
    pub content_range: Option<String>,
    /// Say this ETag; an empty one is none.
    pub etag: Option<String>,
    /// Say no `Last-Modified`.
    pub no_last_modified: bool,
    /// Say this `Last-Modified`.
    pub last_modified: Option<String>,
    /// Say this media type.
    pub content_type: Option<String>,
    /// Say this `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// Send this instead of the file.
    pub body: Option<String>,
    /// Send so many bytes more than there are (for ever, if large).
    pub extra: u64,
    /// More header lines, sent as they are.
    pub headers: Vec<(String, String)>,
    /// So many `100 Continue` before the answer.
    pub continues: u32,
}

impl Fault {
    /// Answers with `status` and nothing else.
    pub fn status(status: u16) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// At most `rate` bytes per second.
    pub fn rate(rate: u64) -> Self {
        Self { rate: Some(rate), ..Self::default() }
    }

    /// Stalls for ever at this offset.
    pub fn stall_at(offset: u64) -> Self {
        Self { stall_at: Some(offset), ..Self::default() }
    }

    /// Breaks off at this offset.
    pub fn cut_at(offset: u64) -> Self {
        Self { cut_at: Some(offset), ..Self::default() }
    }

    /// Answers with 200, this type and this text.
    pub fn page(content_type: &str, body: &str) -> Self {
        Self { content_type: Some(content_type.into()), body: Some(body.into()), ..Self::default() }
    }

    /// Redirects to `location`.
    pub fn redirect(location: impl Into<String>) -> Self {
        Self { redirect: Some(location.into()), ..Self::default() }
    }

    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }
}

/// What a file's server allows, whatever a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// So many answers run at once; more are refused.
    pub connections: Option<usize>,
    /// So many requests are answered; more are refused.
    pub uses: Option<u64>,
    /// What is said to who is refused: 403 unless set, and nothing, but a
    /// connection that is reset, for 0.
    pub refusal: Option<u16>,
    /// The ETags of the answers, in turn.
    pub etags: Vec<String>,
    /// The `Last-Modified` of the answers, in turn.
    pub dates: Vec<String>,
    /// An ETag of its own for each answer.
    pub etag_per_answer: bool,
    /// Only who has a signed URL may read: others get this status.
    pub acl: Option<u16>,
}

/// A file's misbehaviour, request by request.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// For the first request, the second, and so on.
    pub first: Vec<Fault>,
    /// For all after those.
    pub then: Fault,
}

impl Faults {
    /// None.
    pub fn none() -> Self {
        Self::default()
    }

    /// The same for every request.
    pub fn always(fault: Fault) -> Self {
        Self { first: Vec::new(), then: fault }
    }

    /// For the first `times` requests.
    pub fn first(times: usize, fault: Fault) -> Self {
        Self { first: vec![fault; times], then: Fault::default() }
    }

    pub(crate) fn of_request(&self, number: usize) -> &Fault {
        self.first.get(number).unwrap_or(&self.then)
    }
}
