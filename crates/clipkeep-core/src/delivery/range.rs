//! The `Range` field (RFC 9110, section 14) against a representation's length.
//!
//! HTTP's inclusive ends are read here and nowhere else; what comes out is
//! half-open. A field that breaks the grammar is ignored as a whole.

use std::{cmp::Ordering, ops::Range};

use http::{HeaderMap, header::RANGE};

/// More ranges than this are no player's doing, and each costs a part header
/// and a read (CVE-2011-3192). The field is then ignored.
const MAX_RANGES: usize = 16;

/// What the `Range` field asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// Everything: no `Range`, or none that must be obeyed.
    Whole,
    /// Nothing that exists.
    Unsatisfiable,
    /// One run of bytes, not empty.
    One(Range<u64>),
    /// Two or more runs, ascending, disjoint, none empty.
    Many(Vec<Range<u64>>),
}

/// Reads the request's `Range` for a representation of `len` bytes. Two `Range`
/// lines are malformed: the field is no list across lines.
pub(super) fn select(headers: &HeaderMap, len: u64) -> Selection {
    let mut lines = headers.get_all(RANGE).iter();
    match (lines.next(), lines.next()) {
        (Some(field), None) => parse(field.as_bytes(), len).unwrap_or(Selection::Whole),
        _ => Selection::Whole,
    }
}

/// `None` where the field is to be ignored.
fn parse(field: &[u8], len: u64) -> Option<Selection> {
    let (unit, set) = field.trim_ascii().split_at_checked(b"bytes=".len())?;
    if !unit.eq_ignore_ascii_case(b"bytes=") || set.first().is_some_and(u8::is_ascii_whitespace) {
        return None;
    }
    // On the stack: the usual single range must not allocate.
    let mut found: [Range<u64>; MAX_RANGES] = std::array::from_fn(|_| 0..0);
    let (mut asked, mut satisfiable) = (0, 0);
    // The list rule (section 5.6.1.2) has recipients skip empty elements.
    for spec in set.split(|&b| b == b',').map(trim_ows).filter(|spec| !spec.is_empty()) {
        asked += 1;
        if asked > MAX_RANGES {
            return None;
        }
        if let Some(range) = Spec::parse(spec)?.resolve(len) {
            found[satisfiable] = range;
            satisfiable += 1;
        }
    }
    match (asked, satisfiable) {
        (0, _) => None,
        (_, 0) => Some(Selection::Unsatisfiable),
        // Only a suffix can be satisfied by nothing at all, and `Content-Range`
        // cannot say so: the whole of an empty representation is a plain 200.
        _ if len == 0 => None,
        _ => Some(coalesce(&mut found[..satisfiable])),
    }
}

/// Sorts the ranges and joins those that overlap. Ranges that merely touch stay
/// apart, as they were asked for.
fn coalesce(ranges: &mut [Range<u64>]) -> Selection {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut kept = 0;
    for next in 1..ranges.len() {
        let range = ranges[next].clone();
        if range.start < ranges[kept].end {
            ranges[kept].end = ranges[kept].end.max(range.end);
        } else {
            kept += 1;
            ranges[kept] = range;
        }
    }
    match &ranges[..=kept] {
        [one] => Selection::One(one.clone()),
        many => Selection::Many(many.to_vec()),
    }
}

/// One `range-spec`. Numbers too large to count saturate: such a first position
/// lies behind every end, such a last one is clamped.
enum Spec {
    From { first: u64, last: Option<u64> },
    Suffix(u64),
}

impl Spec {
    /// `None` where the spec is invalid, which makes the whole field invalid.
    fn parse(spec: &[u8]) -> Option<Self> {
        let dash = spec.iter().position(|&b| b == b'-')?;
        let (first, last) = (&spec[..dash], &spec[dash + 1..]);
        if first.is_empty() {
            return Some(Self::Suffix(number(last)?));
        }
        let from = number(first)?;
        if last.is_empty() {
            return Some(Self::From { first: from, last: None });
        }
        let to = number(last)?;
        if compare_decimals(first, last) == Ordering::Greater {
            return None;
        }
        Some(Self::From { first: from, last: Some(to) })
    }

    /// The bytes it means, or `None` where it is unsatisfiable. Empty only for
    /// a suffix of an empty representation.
    fn resolve(self, len: u64) -> Option<Range<u64>> {
        match self {
            Self::Suffix(0) => None,
            Self::Suffix(count) => Some(len.saturating_sub(count)..len),
            Self::From { first, .. } if first >= len => None,
            Self::From { first, last: None } => Some(first..len),
            Self::From { first, last: Some(last) } => Some(first..last.saturating_add(1).min(len)),
        }
    }
}

/// `1*DIGIT`, saturating.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, add))
}

/// Compares as written: two numbers that both saturate still have an order.
fn compare_decimals(a: &[u8], b: &[u8]) -> Ordering {
    let strip = |digits| <[u8]>::iter(digits).position(|&b| b != b'0').map_or(&digits[..0], |at| &digits[at..]);
    let (a, b): (&[u8], &[u8]) = (strip(a), strip(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn trim_ows(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}
