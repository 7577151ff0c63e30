//! The hard cases of RFC 9110, by number, and what must hold for any request.

mod cases;
mod digests;
mod headers;
mod properties;
mod unsized_clips;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{
    Body, Caching, Plan, Representation, RequestHead, Segment,
    header::{ETag, http_date},
    plan, version_time,
};
use crate::time::Timestamp;

const CREATED: Timestamp = Timestamp::from_millis(1_700_000_000_250);
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A clip of `len` bytes in its first epoch.
fn clip(len: u64) -> Representation {
    Representation::new(len, tag(1), version_time(CREATED, 1), "video/mp4")
}

fn tag(epoch: i64) -> ETag {
    ETag::of(&"a.mp4".parse().unwrap(), epoch)
}

fn tag_text() -> String {
    tag(1).value().to_str().unwrap().to_owned()
}

fn date(secs: i64) -> String {
    http_date(Timestamp::from_secs(secs)).to_str().unwrap().to_owned()
}

fn fields(lines: &[(HeaderName, &str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
}

/// The answer to a `GET` with these lines, in one line: `206 0-4/10`.
fn get(len: u64, lines: &[(HeaderName, &str)]) -> String {
    answer(&Method::GET, len, lines, NOW)
}

fn range(len: u64, value: &str) -> String {
    get(len, &[(header::RANGE, value)])
}

fn answer(method: &Method, len: u64, lines: &[(HeaderName, &str)], now: Timestamp) -> String {
    let (rep, headers) = (clip(len), fields(lines));
    let plan = plan(&RequestHead { method, headers: &headers, now }, &rep);
    let mut sent = HeaderMap::new();
    plan.write_headers(Caching::Public, &mut sent);
    let status = plan.status().as_u16();
    if let Some(range) = sent.get(header::CONTENT_RANGE) {
        return format!("{status} {}", range.to_str().unwrap().strip_prefix("bytes ").unwrap());
    }
    match plan.into_body() {
        Body::Parts(segments) => {
            let ranges = segments.iter().filter_map(|segment| match segment {
                Segment::Clip(range) => Some(format!("{}-{}", range.start, range.end - 1)),
                Segment::Text(_) => None,
            });
            format!("{status} parts {}", ranges.collect::<Vec<_>>().join(","))
        }
        _ => status.to_string(),
    }
}

/// The bytes of the body, where the clip's byte number `n` is `n % 251`.
fn assemble(plan: Plan<'_>) -> Vec<u8> {
    let clip = |range: std::ops::Range<u64>| range.map(|n| u8::try_from(n % 251).unwrap());
    match plan.into_body() {
        Body::Empty => Vec::new(),
        Body::Clip(range) => clip(range).collect(),
        Body::Parts(segments) => segments
            .into_iter()
            .flat_map(|segment| match segment {
                Segment::Text(text) => text.into_bytes(),
                Segment::Clip(range) => clip(range).collect(),
            })
            .collect(),
    }
}
