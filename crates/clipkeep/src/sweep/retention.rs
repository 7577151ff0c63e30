//! Clips that are over their age are deleted, the oldest first, in bounded steps.

use std::time::Duration;

use clipkeep_core::{config::DurationText, id::ClipKey, retention::Retention, time::Timestamp};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use crate::{
    catalog::{AgedClip, Catalog, CatalogError, Cursor, Deletion, unreads::UnreadRow},
    custody::Custody,
    fill,
};

const PAGE: u32 = 500;
/// How many deletions run at once.
const MAX_CONCURRENT: usize = 8;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RetentionReport {
    /// Clips that were looked at.
    pub looked_at: u64,
    /// Clips that were deleted.
    pub deleted: u64,
    /// Whether all old clips were looked at; if not, the next step goes on.
    pub done: bool,
}

/// A walk through the old clips that goes on from step to step. One that was
/// killed starts anew: what it deleted is no longer there to be met.
#[derive(Debug, Default)]
pub struct RetentionWalk {
    after: Option<Cursor>,
}

impl RetentionWalk {
    /// Looks at the next clips that may be over their age, `pages` of them at
    /// most, and deletes those that are. Dropping the future is safe.
    pub async fn step(
        &mut self,
        catalog: &dyn Catalog,
        custody: &Custody,
        rules: &Retention,
        now: Timestamp,
        lease: Duration,
        pages: u32,
    ) -> Result<RetentionReport, CatalogError> {
        let mut report = RetentionReport { done: true, ..RetentionReport::default() };
        let Some(shortest) = rules.shortest() else { return Ok(report) };
        let before = earlier(now, shortest);
        for _ in 0..pages {
            let page = catalog.aged(self.after.as_ref(), before, PAGE).await?;
            report.looked_at += page.len() as u64;
            report.deleted += delete_old(catalog, custody, rules, now, lease, &page).await?;
            let more = page.len() == PAGE as usize;
            self.after = page.into_iter().next_back().map(|clip| clip.at).filter(|_| more);
            if !more {
                return Ok(report);
            }
        }
        report.done = false;
        Ok(report)
    }
}

/// What is over its age.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TooOld {
    pub clips: u64,
    /// The oldest of them.
    pub first: Vec<ClipKey>,
}

/// What a walk would delete at `now`, the oldest `most` by name. Reads all old
/// clips, so it is for people.
///
/// # Errors
/// If the catalogue does not answer.
pub async fn look(
    catalog: &dyn Catalog,
    rules: &Retention,
    now: Timestamp,
    most: usize,
) -> Result<TooOld, CatalogError> {
    let (mut found, mut after) = (TooOld::default(), None);
    let Some(shortest) = rules.shortest() else { return Ok(found) };
    loop {
        let page = catalog.aged(after.as_ref(), earlier(now, shortest), PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.at.clone());
        let old: Vec<_> = page.iter().filter(|clip| over_age(rules, now, clip).is_some()).collect();
        found.clips += old.len() as u64;
        let room = most.saturating_sub(found.first.len());
        found.first.extend(old.into_iter().take(room).map(|clip| clip.at.key.clone()));
    }
}

/// Erases what is kept of results that were not understood, once clips of their
/// generation would be over their age.
pub(super) async fn erase_unread(catalog: &dyn Catalog, rules: &Retention, now: Timestamp) -> Result<(), CatalogError> {
    let (Some(shortest), mut after) = (rules.shortest(), None) else { return Ok(()) };
    loop {
        let page = catalog.unreads(None, after.as_ref(), PAGE).await?;
        for row in page.iter().filter(|row| row.kept.is_some()) {
            let age = rules.age(row.model.as_deref(), row.tenant.as_ref());
            if age.is_some_and(|age| now.since(row.at) >= age) {
                catalog.erase_unread(&row.provider, &row.request_id).await?;
            }
        }
        // The oldest come first.
        let is_over = page.last().is_none_or(|last| now.since(last.at) < shortest);
        if is_over || page.len() < PAGE as usize {
            return Ok(());
        }
        after = page.last().map(UnreadRow::cursor);
    }
}

/// The age that a clip is over, if it is.
fn over_age(rules: &Retention, now: Timestamp, clip: &AgedClip) -> Option<Duration> {
    let age = rules.age(clip.model.as_deref(), clip.tenant.as_ref())?;
    (now.since(clip.at.created_at) >= age).then_some(age)
}

async fn delete_old(
    catalog: &dyn Catalog,
    custody: &Custody,
    rules: &Retention,
    now: Timestamp,
    lease: Duration,
    page: &[AgedClip],
) -> Result<u64, CatalogError> {
    let old = page.iter().filter_map(|clip| Some((clip.at.key.clone(), over_age(rules, now, clip)?)));
    let old: Vec<_> = old.collect();
    let deleting = stream::iter(old).map(|(key, age)| async move {
        let why = format!("retention: older than {}", DurationText(age));
        fill::delete(catalog, custody, &key, now, lease, &why).await
    });
    let count = |count: u64, told| std::future::ready(Ok(count + u64::from(told == Deletion::Deleted)));
    deleting.buffer_unordered(MAX_CONCURRENT).try_fold(0, count).await
}

fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_millis(now.millis().saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}
