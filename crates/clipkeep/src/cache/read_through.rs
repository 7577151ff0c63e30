//! From the bucket to a local copy: in pieces, what viewers wait for first.

use std::{ops::Range, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, stream::FuturesUnordered};
use tokio::sync::Semaphore;

use super::Object;
use crate::{
    fill::local::{LocalCopy, Need, PendingRange},
    store::{Pin, Store, StoreError},
};

/// How much is asked for in one request.
const PIECE: u64 = 4 * 1024 * 1024;
/// How many requests run at once for one copy.
const MAX_REQUESTS: usize = 4;

/// Why a copy did not become complete.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotCached {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("keeping the clip on the local disk")]
    Disk(#[from] std::io::Error),
}

impl NotCached {
    /// Whether the object is another one than before.
    pub(super) const fn is_change(&self) -> bool {
        matches!(self, Self::Store(StoreError::Changed { .. }))
    }
}

/// Brings what the copy lacks of an object.
pub(super) async fn read_through(
    store: &Store,
    requests: &Semaphore,
    object: &Object,
    copy: &Arc<LocalCopy>,
) -> Result<(), NotCached> {
    let pin = &Pin::of(object.tag.clone());
    let mut pending: Vec<Range<u64>> = Vec::new();
    let mut running = FuturesUnordered::new();
    loop {
        while pending.len() < MAX_REQUESTS {
            let in_flight: Vec<PendingRange> = pending.iter().cloned().map(PendingRange::from).collect();
            let Some((range, _)) = copy.plan(&in_flight, Need::of_next(pending.len(), MAX_REQUESTS), PIECE) else {
                break;
            };
            pending.push(range.clone());
            running.push(async move {
                let _turn = requests.acquire().await;
                fetch(store, (object, pin), range.clone(), copy).await.map(|()| range)
            });
        }
        if running.is_empty() {
            break;
        }
        tokio::select! {
            Some(brought) = running.next() => {
                let brought = brought?;
                pending.retain(|range| *range != brought);
            }
            () = copy.wanted() => {}
        }
    }
    copy.complete(object.size).await?;
    Ok(copy.persist().await?)
}

/// From this disk what an earlier run left there, the first gap from the bucket.
async fn fetch(
    store: &Store,
    (object, pin): (&Object, &Pin),
    range: Range<u64>,
    copy: &Arc<LocalCopy>,
) -> Result<(), NotCached> {
    copy.recall(&range).await;
    let Some(missing) = copy.gap(range) else { return Ok(()) };
    let mut writer = copy.writer(missing.start);
    let mut chunks = store.read_pinned(&object.object, missing, pin).await?;
    while let Some(chunk) = chunks.try_next().await? {
        writer.write(chunk).await?;
    }
    Ok(writer.flush().await?)
}
