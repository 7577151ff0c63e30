//! Preconditions (RFC 9110, section 13), in the order of section 13.2.2.

use http::{HeaderMap, HeaderName, header};

use super::{Representation, RequestHead};
use crate::time::Timestamp;

/// What the preconditions leave of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on, `Range` included.
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Evaluates `If-Match` (or else `If-Unmodified-Since`), then `If-None-Match`
/// (or else `If-Modified-Since`).
pub(super) fn judge(headers: &HeaderMap, rep: &Representation) -> Verdict {
    // What has no validator matches no tag and no date, but `*`.
    let is_ours = |tag: &[u8]| rep.etag().is_some_and(|etag| tag == etag.as_bytes());
    let since = |name| Some((rep.last_modified()?.secs(), date(headers, name)?.secs()));
    let unchanged = if headers.contains_key(header::IF_MATCH) {
        lists_tag(headers, &header::IF_MATCH, is_ours)
    } else {
        since(&header::IF_UNMODIFIED_SINCE).is_none_or(|(modified, since)| modified <= since)
    };
    if !unchanged {
        return Verdict::Failed;
    }
    let known = if headers.contains_key(header::IF_NONE_MATCH) {
        lists_tag(headers, &header::IF_NONE_MATCH, |tag| is_ours(opaque(tag)))
    } else {
        since(&header::IF_MODIFIED_SINCE).is_some_and(|(modified, since)| modified <= since)
    };
    if known { Verdict::NotModified } else { Verdict::Proceed }
}

/// Whether `If-Range` lets the `Range` stand. It does where it is absent, where
/// it names our tag (a weak tag never does), and where it is our exact
/// `Last-Modified` and that date is strong.
///
/// A date is strong (section 8.8.2.2) when no second version can share it.
/// Versions of a clip are a second apart by [`super::version_time`]'s contract,
/// so what remains is the running second: a date that is not yet over proves
/// nothing.
pub(super) fn range_stands(request: &RequestHead<'_>, rep: &Representation) -> bool {
    let mut lines = request.headers.get_all(header::IF_RANGE).iter();
    let field = match (lines.next(), lines.next()) {
        (None, _) => return true,
        (Some(field), None) => field.as_bytes().trim_ascii(),
        _ => return false,
    };
    if rep.etag().is_some_and(|etag| field == etag.as_bytes()) {
        return true;
    }
    let Some(modified) = rep.last_modified().map(Timestamp::secs) else { return false };
    parse_date(field).is_some_and(|date| date.secs() == modified) && modified < request.now.secs()
}

/// Whether the field is `*` or one of its tags satisfies `matches`. The field
/// may be spread over several lines. Behind a syntax error nothing counts.
fn lists_tag(headers: &HeaderMap, name: &HeaderName, matches: impl Fn(&[u8]) -> bool) -> bool {
    headers.get_all(name).iter().any(|line| {
        let line = line.as_bytes().trim_ascii();
        line == b"*" || Tags(line).any(&matches)
    })
}

/// A tag without its weakness.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The entity tags of a list, each with its quotes and its `W/`. Tags may hold
/// commas, so the list cannot be split at them.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|b| !matches!(b, b' ' | b'\t' | b','))?;
        let list = &self.0[start..];
        let prefix = if list.starts_with(b"W/") { 2 } else { 0 };
        let inner = list[prefix..].strip_prefix(b"\"")?;
        let end = prefix + inner.iter().position(|&b| b == b'"')? + 2;
        let (tag, rest) = list.split_at(end);
        self.0 = rest;
        Some(tag)
    }
}

/// The field's date; `None` where it is absent, no date, or said twice. An
/// invalid date is ignored (sections 13.1.3 and 13.1.4).
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(field), None) => parse_date(field.as_bytes()),
        _ => None,
    }
}

fn parse_date(field: &[u8]) -> Option<Timestamp> {
    let time = httpdate::parse_http_date(std::str::from_utf8(field).ok()?).ok()?;
    let since_epoch = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since_epoch.as_secs()).ok().map(Timestamp::from_secs)
}
