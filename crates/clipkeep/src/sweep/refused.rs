//! Clips that are over because no request might go to their source, and one may
//! now: the configuration is another one than it was.

use std::sync::atomic::{AtomicBool, Ordering};

use clipkeep_core::{
    address::{SourceRules, judge_url},
    time::Timestamp,
};

use super::SweepParts;
use crate::catalog::{Catalog, CatalogError};

/// How many come back at once.
const PAGE: u32 = 500;

/// Whether this process has looked. It looks once: its rules do not change, and
/// two processes that have other rules must not play a clip back and forth.
#[derive(Default)]
pub(super) struct Once(AtomicBool);

impl Once {
    /// Looks, unless that was done, and counts what comes back.
    pub(super) async fn run(&self, parts: &SweepParts, allowed: &mut u64) -> Result<(), CatalogError> {
        let SweepParts { settings, catalog, clock, engine, .. } = parts;
        if self.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        *allowed = run(&**catalog, &settings.sources, clock.now()).await?;
        self.0.store(true, Ordering::Relaxed);
        if *allowed > 0 {
            engine.wake();
        }
        Ok(())
    }
}

/// Brings them back; answers how many. Whatever ends this, the next process
/// that starts goes on with it.
async fn run(catalog: &dyn Catalog, rules: &SourceRules, now: Timestamp) -> Result<u64, CatalogError> {
    let (mut count, mut after) = (0, String::new());
    while let Some(origin) = catalog.refused_origin(&after).await? {
        if judge_url(rules, &origin).is_ok() {
            count += bring_back(catalog, &origin, now).await?;
        }
        after = origin;
    }
    Ok(count)
}

async fn bring_back(catalog: &dyn Catalog, origin: &str, now: Timestamp) -> Result<u64, CatalogError> {
    let mut count = 0;
    loop {
        let keys = catalog.refused(origin, PAGE).await?;
        let back = catalog.requeue(&keys, now, "its source may be asked now", true).await?;
        count += back.len() as u64;
        if back.is_empty() {
            return Ok(count);
        }
    }
}
