//! Ranges and conditions: the plan's length is the body's, and every segment
//! lies within the clip.
#![no_main]

use clipkeep_core::{
    delivery::{Body, Representation, RequestHead, Segment, header::ETag, plan},
    time::Timestamp,
};
use http::{HeaderMap, HeaderValue, Method, header};
use libfuzzer_sys::fuzz_target;

const NAMES: [header::HeaderName; 6] = [
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
];

fuzz_target!(|data: (u64, Vec<(u8, Vec<u8>)>)| {
    let (len, fields) = data;
    let key = "clip.mp4".parse().expect("a key");
    let now = Timestamp::from_secs(1_790_000_000);
    let rep = Representation::new(len, ETag::of(&key, 1), now, "video/mp4");
    let mut headers = HeaderMap::new();
    for (name, value) in &fields {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(NAMES[*name as usize % NAMES.len()].clone(), value);
        }
    }
    let plan = plan(&RequestHead { method: &Method::GET, headers: &headers, now }, &rep);
    match plan.into_body() {
        Body::Empty => {}
        Body::Clip(range) => assert!(range.start <= range.end && range.end <= len),
        Body::Parts(segments) => {
            for segment in segments {
                if let Segment::Clip(range) = segment {
                    assert!(range.start < range.end && range.end <= len);
                }
            }
        }
    }
});
