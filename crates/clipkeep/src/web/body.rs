//! From a plan's body to bytes on the wire: mapped pages of a local file, or
//! ranged reads of the bucket streamed through.

use std::{ops::Range, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use clipkeep_core::{
    delivery::{Body as Planned, Segment},
    id::ClipKey,
};
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use super::{clips::FIRST_BYTE_TIMEOUT, error::ApiError};
use crate::{
    app::App,
    cache::Shelved,
    store::{Store, StoreError},
};

type Chunks = BoxStream<'static, Result<Bytes, StoreError>>;

/// The body. Its first bytes are in hand when this returns, so that a store
/// that does not answer becomes an error and not a broken 200.
pub(super) async fn open(app: &App, key: &ClipKey, shelved: &Shelved, planned: Planned) -> Result<Body, ApiError> {
    match (planned, &shelved.local) {
        (Planned::Empty, _) => Ok(Body::empty()),
        (Planned::Clip(range), Some(file)) => Ok(Body::from(slice(file, range))),
        (Planned::Parts(segments), Some(file)) => {
            let file = file.clone();
            let pieces = segments.into_iter().map(move |segment| Ok::<_, std::io::Error>(piece(&file, segment)));
            Ok(Body::from_stream(stream::iter(pieces)))
        }
        (Planned::Clip(range), None) => started(key, read(Arc::clone(&app.store), key.clone(), range)).await,
        (Planned::Parts(segments), None) => {
            let (store, clip) = (Arc::clone(&app.store), key.clone());
            let parts = stream::iter(segments).flat_map(move |segment| match segment {
                Segment::Text(text) => stream::once(std::future::ready(Ok(Bytes::from(text)))).boxed(),
                Segment::Clip(range) => read(Arc::clone(&store), clip.clone(), range),
            });
            started(key, parts.boxed()).await
        }
    }
}

fn piece(file: &Bytes, segment: Segment) -> Bytes {
    match segment {
        Segment::Text(text) => Bytes::from(text),
        Segment::Clip(range) => slice(file, range),
    }
}

/// The plan's ranges lie within the representation, whose length the mapping has.
fn slice(file: &Bytes, range: Range<u64>) -> Bytes {
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
    file.slice(at(range.start)..at(range.end))
}

fn read(store: Arc<Store>, key: ClipKey, range: Range<u64>) -> Chunks {
    stream::once(async move { store.read(&key, range).await }).try_flatten().boxed()
}

async fn started(key: &ClipKey, mut chunks: Chunks) -> Result<Body, ApiError> {
    let first = match tokio::time::timeout(FIRST_BYTE_TIMEOUT, chunks.next()).await {
        Ok(Some(Ok(first))) => first,
        Ok(None) => return Ok(Body::empty()),
        Ok(Some(Err(error))) => {
            tracing::error!(clip = %key, "stored, but its object cannot be read");
            return Err(ApiError::unavailable("the store did not answer", error));
        }
        Err(elapsed) => return Err(ApiError::unavailable("the store did not answer in time", elapsed)),
    };
    let rest = stream::once(std::future::ready(Ok(first))).chain(chunks);
    Ok(Body::from_stream(rest))
}
