//! What a source's answer means for the fill: values, so that the engine
//! decides by them and the history names them.

use std::time::{Duration, UNIX_EPOCH};

use http::{
    HeaderMap, StatusCode,
    header::{
        ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderName, RETRY_AFTER, TRANSFER_ENCODING,
    },
};

use crate::{state::text_enum, time::Timestamp};

/// The longest `Retry-After` that is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

text_enum! {
    /// Why a read of a source did not give the clip. The name is stable: it
    /// stands in the history, in events and in metrics.
    Why {
        /// 401: the source wants credentials, which we never have.
        Http401 = "http_401",
        /// 403: expired, or not for us.
        Http403 = "http_403",
        /// 404: gone, or not there yet.
        Http404 = "http_404",
        /// 410: gone.
        Http410 = "http_410",
        /// 429: asked too often.
        Http429 = "http_429",
        /// 451: withheld for legal reasons.
        Http451 = "http_451",
        /// Any other 4xx.
        Http4xx = "http_4xx",
        /// Any 5xx, and 408.
        Http5xx = "http_5xx",
        /// A status that is no answer to a GET.
        HttpOther = "http_other",
        /// The name did not resolve.
        Dns = "dns",
        /// No connection came about.
        Connect = "connect",
        /// The TLS handshake failed.
        Tls = "tls",
        /// The URL, a redirect or the resolved addresses are not allowed.
        ForbiddenAddress = "forbidden_address",
        /// A redirect without a usable target, or too many of them.
        BadRedirect = "bad_redirect",
        /// No answer in time.
        FirstByteTimeout = "first_byte_timeout",
        /// The answer's head breaks HTTP, or is too large.
        BadResponse = "bad_response",
        /// The body stood still, or trickled.
        Stalled = "stalled",
        /// The connection ended before the body did.
        Cut = "cut",
        /// A 206 that is not the range that was asked for.
        WrongRange = "wrong_range",
        /// The length differs from what was promised.
        WrongLength = "wrong_length",
        /// A body of no bytes.
        Empty = "empty",
        /// A coding of the bytes was applied although identity was asked for.
        Encoded = "encoded",
        /// More bytes than a clip may have.
        TooLarge = "too_large",
        /// The content is no media that can be kept.
        NotMedia = "not_media",
        /// The source serves another version than before.
        Changed = "changed",
    }
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again, not before `after` where the source said so.
    Retry {
        /// The source's `Retry-After`, an hour at most.
        after: Option<Duration>,
        why: Why,
    },
    /// Not there now. Try again, but count: a source that stays missing is gone.
    Missing(Why),
    /// Gone for good. Only whoever counts the misses says so.
    Gone(Why),
    /// What came is no acceptable media, and would not be the next time.
    Rejected(Why),
    /// Another version than the one begun: start over without the old bytes.
    Changed,
}

impl Verdict {
    /// Try again, at a time of our own choosing.
    pub const fn retry(why: Why) -> Self {
        Self::Retry { after: None, why }
    }

    /// Whether a request for a range may have failed because it asked for a
    /// range: the source may still have its whole to give to a plain request.
    /// `again` says that a failure that may pass came for the second time in a
    /// row.
    pub const fn blames_the_range(self, again: bool) -> bool {
        match self {
            Self::Missing(_) | Self::Gone(_) | Self::Rejected(Why::Encoded) | Self::Changed => true,
            Self::Retry { why: Why::WrongRange | Why::WrongLength, .. } => true,
            Self::Retry { .. } => again,
            Self::Rejected(_) => false,
        }
    }

    /// The reason behind it.
    pub const fn why(self) -> Why {
        match self {
            Self::Retry { why, .. } | Self::Missing(why) | Self::Gone(why) | Self::Rejected(why) => why,
            Self::Changed => Why::Changed,
        }
    }
}

/// How the end of a body shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After the promised number of bytes.
    Length,
    /// By the last chunk's mark.
    Chunked,
    /// By the connection's end, which a cut looks exactly like: the content
    /// must prove that it is whole.
    Close,
}

/// What a usable answer's head promises of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Where in the whole the body starts.
    pub start: u64,
    /// Bytes of the whole, where the source said. The body need not reach it.
    pub total: Option<u64>,
    /// Where in the whole the body ends, where the source said.
    pub end: Option<u64>,
    pub framing: Framing,
    /// Whether the source says that it serves ranges.
    pub accepts_ranges: bool,
}

/// What a status means; `None` where it is a body to read. Redirects are followed
/// before this is asked.
pub fn judge_status(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<Verdict> {
    let retry = |why| Verdict::Retry { after: retry_after(headers, now), why };
    let verdict = match status.as_u16() {
        // A proxy on the way calls a 200 a 203; some upload gateways go on saying
        // 201 of what they serve; and others have successes of their own.
        200 | 201 | 203 | 206 | 208..=299 => return None,
        300..=399 => Verdict::Missing(Why::BadRedirect),
        401 => Verdict::Missing(Why::Http401),
        403 => Verdict::Missing(Why::Http403),
        404 => Verdict::Missing(Why::Http404),
        410 => Verdict::Missing(Why::Http410),
        451 => Verdict::Missing(Why::Http451),
        429 => retry(Why::Http429),
        408 | 500..=599 => retry(Why::Http5xx),
        400..=499 => Verdict::Missing(Why::Http4xx),
        _ => retry(Why::HttpOther),
    };
    Some(verdict)
}

/// Judges an answer's head: its status, its framing, and whether it is what was
/// asked for. `from` is the offset of the open range that was asked for, or
/// `None` for a plain GET.
///
/// A promise that starts at 0 although `from` was asked for is a whole 200: the
/// source knows no ranges, or its version changed. The caller compares versions
/// and skips what it has, or starts over. A 206 is usable only if it starts
/// where asked; one whose total is unknown cannot be proven to continue
/// anything, so that is [`Verdict::Changed`], as is a 416.
pub fn judge_head(
    status: StatusCode,
    headers: &HeaderMap,
    from: Option<u64>,
    now: Timestamp,
) -> Result<Promise, Verdict> {
    if status == StatusCode::RANGE_NOT_SATISFIABLE && from.is_some() {
        return Err(Verdict::Changed);
    }
    if let Some(verdict) = judge_status(status, headers, now) {
        return Err(verdict);
    }
    if tokens(headers, &CONTENT_ENCODING).any(codes_the_bytes) {
        return Err(Verdict::Rejected(Why::Encoded));
    }
    let (framing, len) = framing(headers).ok_or(Verdict::retry(Why::BadResponse))?;
    if status == StatusCode::PARTIAL_CONTENT {
        return judge_part(headers, from, framing, len);
    }
    let accepts_ranges = tokens(headers, &ACCEPT_RANGES).any(|unit| unit.eq_ignore_ascii_case("bytes"));
    Ok(Promise { start: 0, total: len, end: len, framing, accepts_ranges })
}

/// Whether a `Content-Encoding` token says that the bytes are others than the
/// clip's. Object stores keep whatever an uploader wrote there (`aws-chunked`,
/// `utf-8`, `binary`, `none`, a media type): such a token names no coding, and
/// the content decides.
fn codes_the_bytes(token: &str) -> bool {
    const CODINGS: &[&str] = &[
        "gzip",
        "x-gzip",
        "br",
        "zstd",
        "deflate",
        "compress",
        "x-compress",
        "dcb",
        "dcz",
        "exi",
        "aes128gcm",
        "pack200-gzip",
        "bzip2",
        "x-bzip2",
        "xz",
        "lzma",
        "lz4",
        "snappy",
        "sdch",
    ];
    let name = token.split(';').next().unwrap_or_default().trim().trim_matches('"');
    CODINGS.iter().any(|coding| name.eq_ignore_ascii_case(coding))
}

fn judge_part(headers: &HeaderMap, from: Option<u64>, framing: Framing, len: Option<u64>) -> Result<Promise, Verdict> {
    const WRONG: Verdict = Verdict::retry(Why::WrongRange);
    let part = content_range(headers).ok_or(WRONG)?;
    // Some edges answer a plain GET by a 206 of everything; of less is no use.
    let fits = part.start == from.unwrap_or(0) && (from.is_some() || part.total == Some(part.end));
    if !fits {
        return Err(WRONG);
    }
    if part.total.is_none() {
        return Err(Verdict::Changed);
    }
    if len.is_some_and(|len| len != part.end - part.start) {
        return Err(Verdict::retry(Why::WrongLength));
    }
    // A part's length is promised by its range, whatever frames the body.
    let framing = if framing == Framing::Close { Framing::Length } else { framing };
    Ok(Promise { start: part.start, total: part.total, end: Some(part.end), framing, accepts_ranges: true })
}

/// Framing and promised length; `None` where the head contradicts itself, which
/// is how responses get smuggled (RFC 9112, 6.3).
fn framing(headers: &HeaderMap) -> Option<(Framing, Option<u64>)> {
    let lengths: Vec<&str> = tokens(headers, &CONTENT_LENGTH).collect();
    // `identity` was a word for no coding once (RFC 2616, 3.6).
    let is_coding = |token: &&str| !token.eq_ignore_ascii_case("identity");
    let codings: Vec<&str> = tokens(headers, &TRANSFER_ENCODING).filter(is_coding).collect();
    let is_blank = |name: &HeaderName| headers.contains_key(name) && tokens(headers, name).next().is_none();
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) if is_blank(&CONTENT_LENGTH) || is_blank(&TRANSFER_ENCODING) => None,
        ([], []) => Some((Framing::Close, None)),
        // A length beside it says nothing (RFC 9112, 6.3), and is not believed.
        (_, [coding]) if coding.eq_ignore_ascii_case("chunked") => Some((Framing::Chunked, None)),
        ([first, rest @ ..], []) if rest.iter().all(|other| other == first) => {
            Some((Framing::Length, Some(digits(first)?)))
        }
        _ => None,
    }
}

struct Part {
    start: u64,
    end: u64,
    total: Option<u64>,
}

/// Reads the one `Content-Range`; `None` if it is absent, doubled or nonsense.
fn content_range(headers: &HeaderMap) -> Option<Part> {
    let mut values = headers.get_all(CONTENT_RANGE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (unit, rest) = value.to_str().ok()?.trim().split_once(' ')?;
    let (range, total) = rest.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (start, end) = (digits(first)?, digits(last)?.checked_add(1)?);
    let total = if total == "*" { None } else { Some(digits(total)?) };
    let sound = unit.eq_ignore_ascii_case("bytes") && start < end && total.is_none_or(|total| end <= total);
    sound.then_some(Part { start, end, total })
}

/// How long an answer asks us to wait, an hour at most.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(text.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs).min(RETRY_AFTER_MAX));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let at = Timestamp::from_secs(i64::try_from(date.as_secs()).ok()?);
    Some(at.since(now).min(RETRY_AFTER_MAX))
}

/// `parse` alone would take a leading plus.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The comma-separated, non-empty elements of all of a header's lines. A line
/// that is no text becomes an element that equals nothing.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("?"));
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests;
