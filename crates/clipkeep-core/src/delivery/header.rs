//! The header fields of a delivered clip, written out.
//!
//! Values come from static text or are built once; nothing here decides which
//! answer is given.

use std::{
    ops::Range,
    time::{Duration, UNIX_EPOCH},
};

use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use ring::digest;

use crate::{id::ClipKey, media_type::MediaType, percent, time::Timestamp};

/// A year: what caches take for «for ever» (RFC 9111, section 1.2.2 allows more,
/// no cache keeps it).
const MAX_AGE_SECS: i64 = 31_536_000;

/// File systems take 255 bytes; browsers append a counter to what exists.
const MAX_NAME_LEN: usize = 200;

/// A strong entity tag: equal tags mean equal bytes (RFC 9110, section 8.8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag(HeaderValue);

impl ETag {
    /// The tag of a clip's content epoch. It is known before the first byte is,
    /// and the same from every node, before and after a restart.
    pub fn of(key: &ClipKey, epoch: i64) -> Self {
        Self::of_view(key, epoch, false)
    }

    /// The tag of the content epoch in its own order, or with its `moov` first:
    /// other bytes, so another tag.
    pub fn of_view(key: &ClipKey, epoch: i64, fast_start: bool) -> Self {
        let hash = digest::digest(&digest::SHA256, key.as_str().as_bytes());
        let order = if fast_start { "f" } else { "" };
        Self(value(format!("\"{}-{epoch}{order}\"", HEXLOWER.encode(&hash.as_ref()[..8]))))
    }

    /// Of bytes by their SHA-256, as lower-case hex.
    pub fn of_sha256(sha256: &str) -> Self {
        Self(value(format!("\"{sha256}\"")))
    }

    /// The field's value, quotes included.
    pub const fn value(&self) -> &HeaderValue {
        &self.0
    }

    /// The field's bytes, quotes included.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// What stands between the quotes: hexadecimal digits, hyphens, a number.
    pub(super) fn opaque(&self) -> &str {
        self.0.to_str().unwrap_or_default().trim_matches('"')
    }
}

/// Who may keep a response, and for how long. A clip's bytes never change under
/// its tag, so both are `immutable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// The clip needs no signature: anybody, for a year.
    Public,
    /// The viewer's own cache, until the link expires.
    Signed { expires: Timestamp },
}

impl Caching {
    /// The value of `Cache-Control` in a response of `now`.
    pub fn value(self, now: Timestamp) -> HeaderValue {
        match self {
            Self::Public => HeaderValue::from_static("public, max-age=31536000, immutable"),
            Self::Signed { expires } => {
                let left = expires.secs().saturating_sub(now.secs()).clamp(0, MAX_AGE_SECS);
                value(format!("private, max-age={left}, immutable"))
            }
        }
    }
}

/// How the response came about (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// From what was here already.
    Hit,
    /// This request started the fill.
    Miss,
    /// This request joined a fill that another had started.
    Collapsed,
}

impl CacheStatus {
    pub const NAME: HeaderName = HeaderName::from_static("cache-status");

    /// The field's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "clipkeep; hit",
            Self::Miss => "clipkeep; fwd=miss",
            Self::Collapsed => "clipkeep; fwd=miss; collapsed",
        }
    }

    /// The field's value.
    pub const fn value(self) -> HeaderValue {
        HeaderValue::from_static(self.as_str())
    }
}

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");
const EXPOSED: &str = "Accept-Ranges, Cache-Status, Content-Disposition, Content-Length, Content-Range, ETag, Last-Modified, Repr-Digest, Server-Timing";

/// Writes what every answer of the delivery surface carries, whatever its
/// status: any page may embed a clip and read its headers, no browser guesses
/// its type, and no link leaks through `Referer`.
pub fn write_common(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    headers.insert(TIMING_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// What scripts may send along: what players set by themselves, what tracing
/// libraries add to every `fetch`, and, where a browser knows `*`, anything:
/// requests come without credentials.
const ALLOWED: &str = "Range, If-Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, \
    Want-Repr-Digest, \
    traceparent, tracestate, baggage, sentry-trace, b3, X-B3-TraceId, X-B3-SpanId, X-B3-ParentSpanId, X-B3-Sampled, \
    X-Datadog-Trace-Id, X-Datadog-Parent-Id, X-Datadog-Origin, X-Datadog-Sampling-Priority, newrelic, Request-Id, \
    Request-Context, *";

/// Writes the answer to a CORS preflight.
pub fn write_preflight(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
}

/// The value of `Server-Timing` for these phases, such as `catalog;dur=0.4`.
/// Names are tokens of ours.
pub fn server_timing(phases: &[(&'static str, Duration)]) -> HeaderValue {
    let phase = |(name, took): &(&str, Duration)| format!("{name};dur={:.1}", took.as_secs_f64() * 1000.0);
    let phases: Vec<_> = phases.iter().map(phase).collect();
    value(phases.join(", "))
}

/// The value of `Content-Disposition` that has a browser save the clip under
/// `name` (RFC 6266). Of the name only what is safe in a header and in a folder
/// survives; if nothing does, the clip's key takes its place.
pub fn attachment(name: &str, key: &ClipKey) -> HeaderValue {
    let name = safe_file_name(name);
    let name = if name.is_empty() { key.as_str() } else { &name };
    let mut text = String::with_capacity(48 + 2 * name.len());
    text.push_str("attachment; filename=\"");
    // `%` is left out of the plain form, because some browsers decode it.
    text.extend(name.chars().map(|c| if c.is_ascii() && c != '%' { c } else { '_' }));
    text.push('"');
    if !name.bytes().all(|b| b.is_ascii() && b != b'%') {
        text.push_str("; filename*=UTF-8''");
        percent::encode(name, &mut text);
    }
    value(text)
}

/// The name without anything that leaves its folder, hides its ending or breaks
/// the header, cut to [`MAX_NAME_LEN`] bytes with its ending kept.
fn safe_file_name(name: &str) -> String {
    let kept: String = name.chars().filter(|&c| is_safe(c)).collect();
    let trimmed = kept.trim_matches(|c: char| c == '.' || c.is_whitespace());
    if trimmed.len() <= MAX_NAME_LEN {
        return trimmed.to_owned();
    }
    let ending_at = trimmed.rfind('.').filter(|at| trimmed.len() - at <= 9).unwrap_or(trimmed.len());
    let (stem, ending) = trimmed.split_at(ending_at);
    let stem = &stem[..stem.floor_char_boundary(MAX_NAME_LEN - ending.len())];
    format!("{}{ending}", stem.trim_end())
}

/// Whether a character may stand in a file name on every system and shows where
/// it stands. Refused: controls, path separators, what Windows or a shell takes
/// for syntax, and the invisible marks that turn or hide text.
fn is_safe(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '/' | '\\' | '"' | ':' | '*' | '?' | '<' | '>' | '|' | ';')
        && !matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// Writes what keeps a clip from being run as a page of ours. A drawing may
/// style itself, and neither run scripts nor load anything; what browsers do not
/// show is saved. To be called once the `Content-Type` is written.
pub fn write_confinement(key: &ClipKey, headers: &mut HeaderMap) {
    const SANDBOX: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";
    let Some(content_type) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return };
    if content_type == SVG {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    } else if may_run(content_type) && !headers.contains_key(header::CONTENT_DISPOSITION) {
        headers.insert(header::CONTENT_DISPOSITION, attachment(key.as_str(), key));
    }
}

/// Whether a browser might make more of files of this type than a picture, a
/// sound or a video, so that they need a host of their own, or to be saved.
pub fn may_run(content_type: &str) -> bool {
    let is_plain = ["video/", "audio/", "image/"].iter().any(|kind| content_type.starts_with(kind));
    !is_plain || content_type.starts_with(SVG)
}

/// A document that runs scripts.
const SVG: &str = "image/svg+xml";

/// The media type as it may be sent, without parameters; bytes without a name
/// if it is none. A comma would let a browser pick a second type.
pub(super) fn content_type(text: &str) -> HeaderValue {
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_media = ["video/", "audio/", "image/", "model/"]
        .iter()
        .find_map(|kind| essence.strip_prefix(kind))
        .is_some_and(|name| !name.is_empty() && name.bytes().all(is_subtype_char));
    if is_media || MediaType::by_name(&essence).is_some_and(|known| known.name == essence) {
        return value(essence);
    }
    HeaderValue::from_static("application/octet-stream")
}

fn is_subtype_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'+')
}

/// `bytes first-last/len`; the range is not empty.
pub(super) fn content_range(range: &Range<u64>, len: u64) -> String {
    format!("bytes {}-{}/{len}", range.start, range.end.saturating_sub(1))
}

pub(super) fn unsatisfied_range(len: u64) -> String {
    format!("bytes */{len}")
}

/// An IMF-fixdate. Times that it cannot tell (before 1970, after 9999) are moved
/// to where it can.
pub(super) fn http_date(time: Timestamp) -> HeaderValue {
    const LAST: u64 = 253_402_300_799;
    let secs = u64::try_from(time.secs()).unwrap_or(0).min(LAST);
    value(httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(secs)))
}

/// A value made of visible ASCII.
pub(super) fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("the text is visible ASCII")
}
