//! Deleted clips' objects, removed once more when no fill that was cut off can
//! put them back. This also mends a kill, or a store that was away, between a
//! deletion's row and its object.

use std::time::Duration;

use clipkeep_core::{id::ClipKey, time::Timestamp};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    catalog::{Catalog, CatalogError},
    error_text::error_text,
    fill::{NotRemoved, remove_objects},
    store::Store,
};

const PAGE: u32 = 500;
/// How many removals run at once.
const MAX_CONCURRENT: usize = 8;
/// How long the store may take for one.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TombstoneReport {
    /// Objects that are gone for good.
    pub removed: u64,
    /// Those that the store did not remove now.
    pub failed: u64,
}

/// Removes what is to be removed at `now`. Dropping the future is safe.
pub async fn run(catalog: &dyn Catalog, store: &Store, now: Timestamp) -> Result<TombstoneReport, CatalogError> {
    let mut report = TombstoneReport::default();
    loop {
        let page = catalog.tombstones(now, PAGE).await?;
        let removals = page.iter().map(async |key| match timeout(REMOVE_TIMEOUT, remove(catalog, store, key)).await {
            Ok(Ok(())) => catalog.removed(key, now).await.map(|()| true),
            Ok(Err(NotRemoved::Catalog(error))) => Err(error),
            Ok(Err(stays)) => put_off(catalog, key, now, &error_text(&stays)).await,
            Err(_) => put_off(catalog, key, now, "the store is slow").await,
        });
        let mut removals = stream::iter(removals.collect::<Vec<_>>()).buffer_unordered(MAX_CONCURRENT);
        while let Some(removed) = removals.next().await {
            *if removed? { &mut report.removed } else { &mut report.failed } += 1;
        }
        // A store that is away is not asked for everything that waits.
        if report.failed > 0 || page.len() < PAGE as usize {
            return Ok(report);
        }
    }
}

/// Makes way for others: what cannot be removed is tried again later each time,
/// and told of once. Answers that nothing was removed.
async fn put_off(catalog: &dyn Catalog, key: &ClipKey, now: Timestamp, why: &str) -> Result<bool, CatalogError> {
    if catalog.not_removed(key, now).await? {
        tracing::warn!(clip = %key, why, "a deleted clip's object stays for now; it is tried again, later each time");
    }
    Ok(false)
}

async fn remove(catalog: &dyn Catalog, store: &Store, key: &ClipKey) -> Result<(), NotRemoved> {
    store.abort_stale(key).await?;
    remove_objects(catalog, store, key).await
}
