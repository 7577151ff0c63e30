//! Rows whose objects are missing, or of another size.

use std::collections::{HashMap, HashSet};

use clipkeep_core::state::ClipState;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Drift, DriftReport, NOTICE_DELAY, PAGE, Result, is_too_much};
use crate::catalog::StoredObject;

/// How many objects are asked after at once.
const MAX_HEAD_REQUESTS: usize = 16;
/// So few may all be lost.
const MIN_SAMPLE: usize = 2;

/// Keeps one row for each object that is to be looked at: what is found out of it
/// concerns all clips that share it. One that its own clip's row tells of is
/// looked at there.
fn one_for_each_object(page: &mut Vec<StoredObject>) {
    let mut shared = HashSet::new();
    page.retain(|row| row.object == row.key || (!row.has_owner && shared.insert(row.object.clone())));
}

impl Drift<'_> {
    pub(super) async fn rows(&self, report: &mut DriftReport) -> Result<()> {
        let mut after = None;
        loop {
            let mut page = self.catalog.stored_objects(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.clone());
            let (now, all) = (self.clock.now(), page.len());
            page.retain(|row| now.since(row.stored_at) >= self.settings.grace);
            let compared = page.len();
            report.rows += compared as u64;
            report.young += (all - compared) as u64;
            one_for_each_object(&mut page);
            let of = page.len();
            let mut lost = self.without_object(page).await?;
            // Some may have been deleted in the meantime.
            let keys: Vec<_> = lost.iter().map(|(row, _)| row.key.clone()).collect();
            let states: HashMap<_, _> = self.catalog.states(&keys).await?.into_iter().collect();
            lost.retain(|(row, _)| states.get(&row.key) == Some(&ClipState::Stored));
            let all_lost = !lost.is_empty() && lost.len() == of;
            let nothing_left = all_lost && compared > MIN_SAMPLE && self.store_is_empty().await?;
            if self.settings.brake && (nothing_left || is_too_much(lost.len(), of)) {
                let missing = lost.len();
                tracing::error!(missing, of, "most objects are missing: is `store` the right one? nothing is done");
                report.stopped = true;
                return Ok(());
            }
            // It may have gone away while it was looked through.
            if !lost.is_empty() {
                self.is_ours().await?;
            }
            for (row, found) in lost {
                self.lose(&row, found, report).await?;
            }
        }
    }

    /// Whether the store holds nothing at all: a folder that is not mounted, or
    /// the wrong bucket, rather than so much loss.
    async fn store_is_empty(&self) -> Result<bool> {
        Ok(self.store.list().try_next().await?.is_none_or(|page| page.is_empty()))
    }

    /// Those of a page whose object is not what the row says, and what size it
    /// has instead.
    async fn without_object(&self, page: Vec<StoredObject>) -> Result<Vec<(StoredObject, Option<u64>)>> {
        let keys: Vec<_> = page.iter().filter(|row| row.object == row.key).map(|row| row.key.clone()).collect();
        let sizes = self.store.sizes(&keys).await?;
        let suspects = page.into_iter().filter(|row| sizes.get(&row.object) != Some(&row.size));
        let asked = stream::iter(suspects).map(|row| async move {
            let found = self.store.head(&row.object).await?.map(|object| object.size);
            Ok::<_, super::DriftError>((row, found))
        });
        let wrong = |(row, found): &(StoredObject, Option<u64>)| std::future::ready(*found != Some(row.size));
        asked.buffered(MAX_HEAD_REQUESTS).try_filter(wrong).try_collect().await
    }

    async fn lose(&self, row: &StoredObject, found: Option<u64>, report: &mut DriftReport) -> Result<()> {
        let (why, count) = match found {
            None => ("its object is not in the store".to_owned(), &mut report.missing),
            Some(size) => (format!("its object has {size} bytes instead of {}", row.size), &mut report.wrong_size),
        };
        if self.settings.look_only {
            *count += 1;
            return Ok(());
        }
        if found.is_some() && !row.has_source {
            tracing::error!(clip = %row.key, why, "damaged, and there is no other copy");
            *count += 1;
            return Ok(());
        }
        let now = self.clock.now();
        if self.catalog.object_lost(&row.key, row.epoch, now, now.plus(NOTICE_DELAY), &why).await? {
            tracing::error!(clip = %row.key, why, "stored no more: it is filled again, if its source lives");
            *count += 1;
        }
        Ok(())
    }
}
