//! What to answer to a `GET` or `HEAD` of a clip: RFC 9110 as one pure function
//! from the request's head and the representation to a [`Plan`].
//!
//! It knows neither where the bytes are nor whether they are there yet: a cold
//! clip, a warm one and one after a restart get the same plan. Link checks,
//! CORS and names for saving are not decided here, only written
//! ([`header`]).

mod condition;
pub mod digest;
pub mod header;
mod multipart;
mod range;

use std::ops::Range;

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED},
};

pub use self::multipart::Multipart;
use self::{
    condition::Verdict,
    header::{Caching, ETag},
    range::Selection,
};
use crate::time::Timestamp;

/// What of a request the plan depends on. `Accept-Encoding` is no part of it:
/// a clip is served in the identity coding or not at all.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// `GET` or `HEAD`; the router lets no other method through.
    pub method: &'a Method,
    /// The header fields as they came.
    pub headers: &'a HeaderMap,
    /// The time of the response, which its `Date` will tell.
    pub now: Timestamp,
}

/// The one representation of a clip, as it is served. Its header values are
/// made once, so that it can be kept with a hot clip and cloned cheaply.
#[derive(Clone, Debug)]
pub struct Representation {
    len: u64,
    version: Option<Version>,
    content_type: HeaderValue,
    /// `Repr-Digest`, where that is known.
    digest: Option<HeaderValue>,
}

/// Which version of the clip the bytes are.
#[derive(Clone, Debug)]
struct Version {
    etag: ETag,
    last_modified: Timestamp,
    last_modified_value: HeaderValue,
}

impl Representation {
    /// A representation of `len` bytes. `last_modified` is that of the version
    /// ([`version_time`]) and changes whenever `etag` does. A `content_type`
    /// that is no media type is not passed on: what a browser could run never
    /// gets a name that would make it ([`header::write_confinement`] keeps in what
    /// is media all the same).
    pub fn new(len: u64, etag: ETag, last_modified: Timestamp, content_type: &str) -> Self {
        let last_modified_value = header::http_date(last_modified);
        let version = Some(Version { etag, last_modified, last_modified_value });
        Self { len, version, content_type: header::content_type(content_type), digest: None }
    }

    /// The same, of whose bytes this is known to be the SHA-256 (lower-case hex).
    #[must_use]
    pub fn with_sha256(self, sha256: &str) -> Self {
        Self { digest: digest::of_sha256(sha256), ..self }
    }

    /// One whose end is not known yet. It goes out from the start, whole or
    /// broken off, and where the connection's end is the body's (HTTP/1.0) no
    /// client can tell which: so it has no validator, takes no range, and no
    /// cache may keep it.
    pub fn of_unknown_length(content_type: &str) -> Self {
        Self { len: u64::MAX, version: None, content_type: header::content_type(content_type), digest: None }
    }

    /// Whether its length is known, and so which version it is.
    pub const fn is_sized(&self) -> bool {
        self.version.is_some()
    }

    /// Bytes; of no meaning where the length is not known.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes at all.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The strong validator.
    pub fn etag(&self) -> Option<&ETag> {
        self.version.as_ref().map(|version| &version.etag)
    }

    /// When this version came to be.
    pub fn last_modified(&self) -> Option<Timestamp> {
        self.version.as_ref().map(|version| version.last_modified)
    }

    /// The media type as it is sent.
    pub const fn content_type(&self) -> &HeaderValue {
        &self.content_type
    }
}

/// When the version of a clip with this content epoch came to be, for
/// `Last-Modified`: the first as the clip itself, and a second per epoch after
/// that. It needs no column of its own, survives restarts, and no two versions
/// of a clip share a second, which is what makes the date a strong validator.
pub fn version_time(created_at: Timestamp, epoch: i64) -> Timestamp {
    Timestamp::from_secs(created_at.secs().saturating_add(epoch.saturating_sub(FIRST_EPOCH).max(0)))
}

/// A clip's first content epoch.
const FIRST_EPOCH: i64 = 1;

/// How a request is answered: status, header fields and which bytes.
#[derive(Clone, Debug)]
pub struct Plan<'r> {
    rep: &'r Representation,
    digest: Option<&'r HeaderValue>,
    now: Timestamp,
    head_only: bool,
    outcome: Outcome,
}

/// The kinds of answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 200: all bytes.
    Whole,
    /// 206: one range, not empty.
    Part(Range<u64>),
    /// 206: two or more ranges in a `multipart/byteranges` body.
    Parts(Multipart),
    /// 304: the client has this representation.
    NotModified,
    /// 412: `If-Match` or `If-Unmodified-Since` does not hold.
    PreconditionFailed,
    /// 416: none of the ranges exists.
    Unsatisfiable,
}

/// What follows the header fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Empty,
    /// These bytes of the clip.
    Clip(Range<u64>),
    /// These pieces one after another.
    Parts(Vec<Segment>),
}

/// One piece of a multipart body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Text(String),
    /// These bytes of the clip.
    Clip(Range<u64>),
}

impl Segment {
    fn len(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Clip(range) => range.end - range.start,
        }
    }
}

/// Decides the answer. Preconditions come before `Range`, in the order of
/// RFC 9110, section 13.2.2. `Range` counts for `GET` alone (section 14.2).
pub fn plan<'r>(request: &RequestHead<'_>, rep: &'r Representation) -> Plan<'r> {
    let head_only = request.method != Method::GET;
    let outcome = match condition::judge(request.headers, rep) {
        Verdict::NotModified => Outcome::NotModified,
        Verdict::Failed => Outcome::PreconditionFailed,
        Verdict::Proceed if head_only || !rep.is_sized() || !condition::range_stands(request, rep) => Outcome::Whole,
        Verdict::Proceed => match range::select(request.headers, rep.len) {
            Selection::Whole => Outcome::Whole,
            Selection::Unsatisfiable => Outcome::Unsatisfiable,
            Selection::One(range) => Outcome::Part(range),
            Selection::Many(ranges) => Outcome::Parts(Multipart::new(rep, &ranges)),
        },
    };
    let digest = rep.digest.as_ref().filter(|_| digest::is_wanted(request.headers));
    Plan { rep, digest, now: request.now, head_only, outcome }
}

impl Plan<'_> {
    /// The kind of answer.
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    pub const fn status(&self) -> StatusCode {
        match self.outcome {
            Outcome::Whole => StatusCode::OK,
            Outcome::Part(_) | Outcome::Parts(_) => StatusCode::PARTIAL_CONTENT,
            Outcome::NotModified => StatusCode::NOT_MODIFIED,
            Outcome::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Outcome::Unsatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        }
    }

    /// Writes the fields that follow from the plan: the representation's, the
    /// validators, the length, and how long it may be cached. What may not be
    /// cached (412, 416) says nothing of caching, which by RFC 9111 means no.
    pub fn write_headers(&self, caching: Caching, headers: &mut HeaderMap) {
        match &self.outcome {
            Outcome::Whole => {
                headers.insert(CONTENT_TYPE, self.rep.content_type.clone());
                if self.rep.is_sized() {
                    headers.insert(CONTENT_LENGTH, self.rep.len.into());
                }
            }
            Outcome::Part(range) => {
                headers.insert(CONTENT_TYPE, self.rep.content_type.clone());
                headers.insert(CONTENT_LENGTH, (range.end - range.start).into());
                headers.insert(CONTENT_RANGE, header::value(header::content_range(range, self.rep.len)));
            }
            Outcome::Parts(multipart) => {
                headers.insert(CONTENT_TYPE, multipart.content_type());
                headers.insert(CONTENT_LENGTH, multipart.body_len().into());
            }
            Outcome::NotModified => {}
            Outcome::PreconditionFailed => {
                headers.insert(CONTENT_LENGTH, 0.into());
                return;
            }
            Outcome::Unsatisfiable => {
                headers.insert(CONTENT_LENGTH, 0.into());
                headers.insert(CONTENT_RANGE, header::value(header::unsatisfied_range(self.rep.len)));
                headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
                return;
            }
        }
        if let Some(digest) = self.digest.filter(|_| self.outcome != Outcome::NotModified) {
            headers.insert(digest::REPR_DIGEST, digest.clone());
        }
        match &self.rep.version {
            Some(version) => {
                headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
                headers.insert(CACHE_CONTROL, caching.value(self.now));
                self.write_validators(version, headers);
            }
            None => {
                headers.insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            }
        }
    }

    fn write_validators(&self, version: &Version, headers: &mut HeaderMap) {
        headers.insert(ETAG, version.etag.value().clone());
        // Section 8.8.2.1: never later than the response itself; and one that
        // moved with the clock would tell of versions that are none.
        if version.last_modified.secs() <= self.now.secs() {
            headers.insert(LAST_MODIFIED, version.last_modified_value.clone());
        }
    }

    /// The bytes to send, as many as `Content-Length` says; none to a `HEAD`.
    pub fn into_body(self) -> Body {
        match self.outcome {
            _ if self.head_only => Body::Empty,
            Outcome::Whole => Body::Clip(0..self.rep.len),
            Outcome::Part(range) => Body::Clip(range),
            Outcome::Parts(multipart) => Body::Parts(multipart.into_segments()),
            Outcome::NotModified | Outcome::PreconditionFailed | Outcome::Unsatisfiable => Body::Empty,
        }
    }
}

#[cfg(test)]
mod tests;
