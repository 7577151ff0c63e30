//! From the bucket to a local copy: in pieces, what viewers wait for first.

use std::{ops::Range, sync::Arc};

use clipkeep_core::{extents::Extents, id::ClipKey};
use futures_util::{StreamExt, TryStreamExt, stream::FuturesUnordered};
use tokio::sync::Semaphore;

use crate::{
    fill::local::{LocalCopy, Need},
    store::{Store, StoreError},
};

/// How much is asked for in one request.
const PIECE: u64 = 4 * 1024 * 1024;
/// How many requests run at once for one copy.
const REQUESTS: usize = 4;

/// Why a copy did not become complete.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotCached {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("keeping the clip on the local disk")]
    Disk(#[from] std::io::Error),
}

/// Brings what the copy lacks of an object of `size` bytes.
pub(super) async fn read_through(
    store: &Store,
    requests: &Semaphore,
    key: &ClipKey,
    size: u64,
    copy: &Arc<LocalCopy>,
) -> Result<(), NotCached> {
    let mut flying: Vec<Range<u64>> = Vec::new();
    let mut running = FuturesUnordered::new();
    loop {
        while flying.len() < REQUESTS {
            let in_flight: Extents = flying.iter().cloned().collect();
            let Some(range) = copy.plan(&in_flight, Need::of_next(flying.len(), REQUESTS), PIECE) else { break };
            flying.push(range.clone());
            running.push(async move {
                let _turn = requests.acquire().await;
                bring(store, key, range.clone(), copy).await.map(|()| range)
            });
        }
        if running.is_empty() {
            break;
        }
        tokio::select! {
            Some(brought) = running.next() => {
                let brought = brought?;
                flying.retain(|range| *range != brought);
            }
            () = copy.wanted() => {}
        }
    }
    copy.complete(size).await?;
    Ok(copy.persist().await?)
}

async fn bring(store: &Store, key: &ClipKey, range: Range<u64>, copy: &Arc<LocalCopy>) -> Result<(), NotCached> {
    let mut writer = copy.writer(range.start);
    let mut chunks = store.read(key, range).await?;
    while let Some(chunk) = chunks.try_next().await? {
        writer.write(chunk).await?;
    }
    Ok(writer.flush().await?)
}
