//! `multipart/byteranges` (RFC 9110, section 14.6), measured to the byte before
//! the first one leaves.

use std::ops::Range;

use http::HeaderValue;

use super::{
    Representation, Segment,
    header::{ETag, content_range},
};

/// The body of a response of several ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multipart {
    boundary: String,
    segments: Vec<Segment>,
    len: u64,
}

impl Multipart {
    /// Lays out `ranges` of `rep`. The boundary comes from the entity tag: equal
    /// requests get equal bytes.
    pub(super) fn new(rep: &Representation, ranges: &[Range<u64>]) -> Self {
        let boundary = format!("clipkeep-{}", rep.etag().map_or("", ETag::opaque));
        let content_type = rep.content_type().to_str().unwrap_or_default();
        let mut segments = Vec::with_capacity(2 * ranges.len() + 1);
        let mut line_end = "";
        for range in ranges {
            let content_range = content_range(range, rep.len());
            segments.push(Segment::Text(format!(
                "{line_end}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {content_range}\r\n\r\n"
            )));
            segments.push(Segment::Clip(range.clone()));
            line_end = "\r\n";
        }
        segments.push(Segment::Text(format!("\r\n--{boundary}--\r\n")));
        let len = segments.iter().map(Segment::len).fold(0, u64::saturating_add);
        Self { boundary, segments, len }
    }

    /// The exact number of bytes of the body.
    pub const fn body_len(&self) -> u64 {
        self.len
    }

    /// The pieces of the body, in order.
    pub(super) fn into_segments(self) -> Vec<Segment> {
        self.segments
    }

    pub(super) fn content_type(&self) -> HeaderValue {
        HeaderValue::try_from(format!("multipart/byteranges; boundary={}", self.boundary))
            .expect("a boundary is made of letters, digits and hyphens")
    }
}
