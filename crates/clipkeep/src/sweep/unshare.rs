//! Clips that share an object and should not: the tenant of one became known, or
//! sharing was switched off. Each gets an object of its own, copied in the store.

use std::{error::Error, time::Duration};

use clipkeep_core::time::Clock;
use futures_util::{StreamExt, stream};
use serde::Serialize;

use crate::{
    catalog::{Catalog, CatalogError, sharing::Unsharing},
    store::Store,
};

/// How many are claimed at once.
const PAGE: u32 = 100;
/// How many copies run at once.
const MAX_CONCURRENT: usize = 4;
/// How long one who claimed them has for it.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(600);

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UnshareReport {
    /// Clips that have an object of their own now.
    pub unshared: u64,
    /// Those whose copy failed; they are served as before, and tried again.
    pub failed: u64,
}

/// Gives clips an object of their own that are due for it, or, with `all`, all that share one. Dropping the future
/// is safe: a copy that no row speaks of yet is made anew, in its own place.
pub async fn run(
    catalog: &dyn Catalog,
    store: &Store,
    all: bool,
    clock: &dyn Clock,
    lease: Duration,
) -> Result<UnshareReport, CatalogError> {
    let mut report = UnshareReport::default();
    loop {
        let now = clock.now();
        if all {
            catalog.schedule_unsharing(now, PAGE).await?;
        }
        let page = catalog.claim_unsharing(now, now.plus(CLAIM_TIMEOUT), PAGE).await?;
        let last = page.len() < PAGE as usize;
        let mut unsharing =
            stream::iter(page.iter().map(|clip| unshare(catalog, store, clip, clock, lease)).collect::<Vec<_>>())
                .buffer_unordered(MAX_CONCURRENT);
        while let Some(unshared) = unsharing.next().await {
            match unshared? {
                Some(true) => report.unshared += 1,
                Some(false) => {}
                None => report.failed += 1,
            }
        }
        if last {
            return Ok(report);
        }
    }
}

/// Bytes first, then the row. `None` if the store did not copy them.
async fn unshare(
    catalog: &dyn Catalog,
    store: &Store,
    clip: &Unsharing,
    clock: &dyn Clock,
    lease: Duration,
) -> Result<Option<bool>, CatalogError> {
    if let Err(error) = store.copy(&clip.object, &clip.key, clip.size).await {
        tracing::warn!(clip = %clip.key, error = &error as &dyn Error, "a clip goes on sharing its object for now");
        return Ok(None);
    }
    // By then every node has heard, and reads it from its own place.
    let now = clock.now();
    catalog.unshared(clip, now, now.plus(lease * 2)).await.map(Some)
}
