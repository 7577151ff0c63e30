//! Records do not grow for ever: old events and old history go, usage by the hour
//! becomes usage by the day. In small steps, so that no writer waits for long.

use clipkeep_core::{id::ClipKey, time::Timestamp};
use serde::Serialize;

use super::SweepSettings;
use crate::catalog::{Catalog, CatalogError};

/// How many rows one transaction removes.
const ROWS_PER_STEP: u32 = 1000;
/// How many clips' history one transaction looks at.
const CLIPS_PER_STEP: u32 = 200;
/// How many transactions of each kind a round makes.
const MAX_STEPS: u32 = 50;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExpiryReport {
    pub events: u64,
    /// Lines of history.
    pub history: u64,
    /// Rows of usage by the hour, added to their days.
    pub usage: u64,
}

/// How far the last round came. A process that was killed looks from the start:
/// what it removed is no longer there to be met.
#[derive(Debug, Default)]
pub(super) struct Walk {
    clip: Option<ClipKey>,
    hour: Option<Timestamp>,
}

impl Walk {
    /// Goes on for a round. Dropping the future is safe.
    pub(super) async fn step(
        &mut self,
        catalog: &dyn Catalog,
        settings: &SweepSettings,
        now: Timestamp,
        report: &mut ExpiryReport,
    ) -> Result<(), CatalogError> {
        report.events = events(catalog, settings, now).await?;
        report.usage = self.usage(catalog, now.minus(settings.usage_hourly_keep)).await?;
        report.history = self.history(catalog, now.minus(settings.history_keep)).await?;
        Ok(())
    }

    async fn usage(&mut self, catalog: &dyn Catalog, before: Timestamp) -> Result<u64, CatalogError> {
        let mut moved = 0;
        for _ in 0..MAX_STEPS {
            let Some(hour) = catalog.next_usage_hour(self.hour).await? else { break };
            // A day is rolled up as a whole, or not yet.
            if hour.day_start() >= before.day_start() {
                break;
            }
            let rows = catalog.roll_up_usage(hour, ROWS_PER_STEP).await?;
            moved += rows;
            if rows < u64::from(ROWS_PER_STEP) {
                self.hour = Some(hour);
            }
        }
        Ok(moved)
    }

    async fn history(&mut self, catalog: &dyn Catalog, before: Timestamp) -> Result<u64, CatalogError> {
        let mut removed = 0;
        for _ in 0..MAX_STEPS {
            let page = catalog.forget_history(self.clip.as_ref(), before, CLIPS_PER_STEP).await?;
            removed += page.lines;
            self.clip = page.last;
            if self.clip.is_none() {
                break;
            }
        }
        Ok(removed)
    }
}

async fn events(catalog: &dyn Catalog, settings: &SweepSettings, now: Timestamp) -> Result<u64, CatalogError> {
    let (before, mut removed) = (now.minus(settings.events_keep), 0);
    for _ in 0..MAX_STEPS {
        let gone = catalog.forget_events(before, &settings.endpoints, ROWS_PER_STEP).await?;
        removed += gone;
        if gone == 0 {
            break;
        }
    }
    Ok(removed)
}
