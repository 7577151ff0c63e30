//! Bodies whose bytes are counted: what the HTTP server takes of them, and what
//! of a clip that is.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use clipkeep_core::{
    delivery::{Body as Planned, Segment, header::CacheStatus},
    time::Timestamp,
    usage::Marks,
};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::slots::ConnectionState;
use crate::{
    app::App,
    cache::ServableClip,
    usage::{Answer, BytePosition, Delivery, Meter, Viewer},
};

/// A body on its connection. Without an answer, nothing of it is a clip's.
pub(super) struct UsageBody {
    body: Body,
    meter: Meter,
    /// Until its first bytes are there.
    answer: Option<Answer>,
    is_clip: bool,
    connection: Arc<ConnectionState>,
}

impl UsageBody {
    pub(super) const fn new(
        body: Body,
        answer: Option<Answer>,
        meter: Meter,
        connection: Arc<ConnectionState>,
    ) -> Self {
        let is_clip = answer.is_some();
        Self { body, meter, answer, is_clip, connection }
    }

    fn count(&mut self, polled: Option<&Result<Frame<Bytes>, axum::Error>>) {
        let Some(Ok(frame)) = polled else { return self.meter.ended(polled.is_some()) };
        let (bytes, ended) = (frame.data_ref().map_or(0, |data| data.len() as u64), self.body.is_end_stream());
        match self.answer.take() {
            Some(answer) => self.meter.begin(answer, bytes, ended),
            None => self.meter.handed(bytes, ended),
        }
    }
}

impl Drop for UsageBody {
    fn drop(&mut self) {
        self.connection.is_answered();
    }
}

impl HttpBody for UsageBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if self.is_clip {
            self.count(polled.as_ref());
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request for a clip, as far as counting goes.
pub(super) struct Asked<'a> {
    pub(super) from: IpAddr,
    pub(super) headers: &'a HeaderMap,
    pub(super) link: Option<Timestamp>,
    pub(super) began: Instant,
}

/// Takes an answer down that carries these bytes of a clip; one without any
/// bytes is no delivery.
pub(super) fn count_response(
    app: &App,
    servable: &ServableClip,
    came: CacheStatus,
    (place, len): (BytePosition, Option<u64>),
    asked: &Asked<'_>,
) -> Option<Answer> {
    app.usage.deliver(Delivery {
        account: &servable.account,
        viewer: Viewer { from: asked.from, headers: asked.headers, link: asked.link },
        place,
        len,
        hit: matches!(came, CacheStatus::Hit),
        began: asked.began,
    })
}

/// Where the bytes of a body stand in their clip, and how many there are.
pub(super) fn byte_position(planned: &Planned, servable: &ServableClip) -> Option<(BytePosition, Option<u64>)> {
    let len = servable.representation.len();
    match planned {
        Planned::Empty => None,
        Planned::Clip(_) if !servable.representation.is_sized() => Some((BytePosition::Whole(Marks::ALL), None)),
        Planned::Clip(range) => Some((BytePosition::Range { start: range.start, len }, Some(range.end - range.start))),
        Planned::Parts(segments) => {
            let add = |(marks, sum): (Marks, u64), segment: &Segment| match segment {
                Segment::Text(text) => (marks, sum + text.len() as u64),
                Segment::Clip(range) => (marks.and(Marks::of(range, len)), sum + (range.end - range.start)),
            };
            let (marks, sum) = segments.iter().fold((Marks::default(), 0), add);
            Some((BytePosition::Whole(marks), Some(sum)))
        }
    }
}
