//! From a plan's body to bytes on the wire: mapped pages of a local file,
//! ranged reads of the bucket, or a copy that is still being filled.

use std::{ops::Range, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use clipkeep_core::{
    delivery::{Body as Planned, Segment},
    id::ClipKey,
};
use futures_util::{
    FutureExt, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use super::error::ApiError;
use crate::{
    app::App,
    cache::{self, ByteSource, Object, ServableClip},
    fill::local::{Ended, Viewer},
    source::SourceError,
    store::{Pin, Store, StoreError},
};

/// Why a body broke off. The connection then ends without a clean end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Copy(#[from] Ended),
    #[error("the clip ended before its length")]
    Short,
}

type Chunks = BoxStream<'static, Result<Bytes, BodyError>>;

/// Why a body did not begin.
pub(super) enum Unopened {
    Failed(ApiError),
    /// The copy is no longer what it was: look again.
    Outdated,
    /// Nor is the object in the store.
    Changed,
}

/// The body. Its first bytes are in hand when this returns, so that a source or
/// store that does not answer becomes an error and not a broken 200.
pub(super) async fn open(
    app: &App,
    key: &ClipKey,
    servable: &ServableClip,
    planned: Planned,
) -> Result<Body, Unopened> {
    let segments = lay_out(servable, planned);
    if segments.is_empty() {
        return Ok(Body::empty());
    }
    if let (ByteSource::Filling(coming), [cache::Segment::File(range)]) = (&servable.bytes, &segments[..])
        && let Some(bytes) = coming.resident_bytes(range)
    {
        return Ok(Body::from(bytes));
    }
    match &servable.bytes {
        ByteSource::Mapped(bytes) | ByteSource::Memory(bytes) => Ok(mapped(bytes, segments)),
        ByteSource::Store(object) => {
            let chunks = segments.into_iter().map(|segment| stored(&app.store, object, segment));
            let begun = started(key, stream::iter(chunks.collect::<Vec<_>>()).flatten().boxed()).await;
            if matches!(begun, Err(Unopened::Changed)) {
                app.cache.invalidate_changed(&object.0).await;
                return Err(Unopened::Outdated);
            }
            begun
        }
        ByteSource::Source(through) => {
            let chunks = segments.into_iter().map(|segment| match segment {
                cache::Segment::Bytes(bytes) => in_memory(bytes),
                cache::Segment::File(range) => through.read(range).map_err(BodyError::from).boxed(),
            });
            started(key, stream::iter(chunks.collect::<Vec<_>>()).flatten().boxed()).await
        }
        ByteSource::Filling(coming) => {
            let viewer = coming.viewer().ok_or(Unopened::Outdated)?;
            started(key, coming_in(viewer, segments, servable.representation.is_sized())).await
        }
    }
}

fn lay_out(servable: &ServableClip, planned: Planned) -> Vec<cache::Segment> {
    match planned {
        Planned::Empty => Vec::new(),
        Planned::Clip(range) => servable.segments(range),
        Planned::Parts(segments) => segments
            .into_iter()
            .flat_map(|segment| match segment {
                Segment::Text(text) => vec![cache::Segment::Bytes(text.into())],
                Segment::Clip(range) => servable.segments(range),
            })
            .collect(),
    }
}

fn mapped(file: &Bytes, mut segments: Vec<cache::Segment>) -> Body {
    let bytes = |segment, file: &Bytes| match segment {
        cache::Segment::Bytes(bytes) => bytes,
        cache::Segment::File(range) => slice(file, range),
    };
    if segments.len() == 1 {
        return segments.pop().map_or_else(Body::empty, |only| Body::from(bytes(only, file)));
    }
    let file = file.clone();
    let pieces = segments.into_iter().map(move |segment| Ok::<_, std::io::Error>(bytes(segment, &file)));
    Body::from_stream(stream::iter(pieces))
}

/// The plan's ranges lie within the representation, whose length the mapping has.
fn slice(file: &Bytes, range: Range<u64>) -> Bytes {
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
    file.slice(at(range.start)..at(range.end))
}

fn stored(store: &Arc<Store>, object: &Arc<(Object, Pin)>, segment: cache::Segment) -> Chunks {
    match segment {
        cache::Segment::Bytes(bytes) => in_memory(bytes),
        cache::Segment::File(range) => {
            let (store, of) = (Arc::clone(store), Arc::clone(object));
            let read = async move { store.read_pinned(&of.0.object, range, &of.1).await };
            stream::once(read).try_flatten().map_err(BodyError::from).boxed()
        }
    }
}

fn in_memory(bytes: Bytes) -> Chunks {
    stream::once(std::future::ready(Ok(bytes))).boxed()
}

/// Reads along with the fill; never ends cleanly before its time.
fn coming_in(viewer: Viewer, segments: Vec<cache::Segment>, sized: bool) -> Chunks {
    let start = (viewer, segments.into_iter(), None::<Range<u64>>);
    stream::try_unfold(start, move |(mut viewer, mut rest, mut file)| async move {
        loop {
            if let Some(range) = file.take().filter(|range| !range.is_empty()) {
                let bytes = viewer.next(range.clone()).await?;
                if bytes.is_empty() {
                    if sized {
                        return Err(BodyError::Short);
                    }
                    // The end of what came is no clean end before it is proven
                    // to be the clip's.
                    viewer.whole().await?;
                    return Ok(None);
                }
                let left = range.start + bytes.len() as u64..range.end;
                return Ok(Some((bytes, (viewer, rest, Some(left)))));
            }
            match rest.next() {
                None => return Ok(None),
                Some(cache::Segment::Bytes(bytes)) => return Ok(Some((bytes, (viewer, rest, None)))),
                Some(cache::Segment::File(range)) => file = Some(range),
            }
        }
    })
    .boxed()
}

async fn started(key: &ClipKey, mut chunks: Chunks) -> Result<Body, Unopened> {
    let first = match tokio::time::timeout(super::clips::FIRST_BYTE_TIMEOUT, chunks.next()).await {
        Ok(Some(Ok(first))) => first,
        Ok(None) => return Ok(Body::empty()),
        Ok(Some(Err(BodyError::Copy(_)))) => return Err(Unopened::Outdated),
        Ok(Some(Err(BodyError::Store(StoreError::Changed { .. })))) => return Err(Unopened::Changed),
        Ok(Some(Err(BodyError::Source(error)))) => {
            return Err(Unopened::Failed(ApiError::unavailable("the source did not answer", error)));
        }
        Ok(Some(Err(error))) => {
            tracing::error!(clip = %key, "stored, but its object cannot be read");
            return Err(Unopened::Failed(ApiError::unavailable("the store did not answer", error)));
        }
        Err(elapsed) => {
            return Err(Unopened::Failed(ApiError::unavailable("the clip did not come in time", elapsed)));
        }
    };
    let rest = stream::once(std::future::ready(Ok(first)).boxed()).chain(chunks);
    Ok(Body::from_stream(rest))
}
