//! Results that were not understood, read again: by a newer version, they may be.

use bytes::Bytes;
use clipkeep_core::{generation::Origin, hook::Decoded, state::GenerationStatus};
use serde::Serialize;

use super::Sweep;
use crate::{
    catalog::{CatalogError, HookOutcome, unreads::UnreadRow},
    provider::KeptPayload,
};

const PAGE: u32 = 100;

/// What reading again brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RereadReport {
    /// Results that were looked at.
    pub looked_at: u64,
    pub understood: u64,
    /// New clips among them all.
    pub clips: u64,
    /// They are still not understood, or not all of them.
    pub unreadable: u64,
    /// Nothing is kept of them any more.
    pub erased: u64,
    /// Another provider's generation has their clips' names.
    pub refused: u64,
}

impl Sweep {
    /// Reads all of them again, the oldest first, each in a transaction of its own:
    /// killed anywhere, the next run finds what is left.
    ///
    /// # Errors
    /// If the catalogue or the store does not answer.
    pub async fn reread(&self) -> Result<RereadReport, CatalogError> {
        let (mut report, mut after) = (RereadReport::default(), None);
        loop {
            let page = self.parts.catalog.unreads(None, after.as_ref(), PAGE).await?;
            for row in &page {
                report.looked_at += 1;
                self.reread_one(row, &mut report).await?;
            }
            after = page.last().map(UnreadRow::cursor);
            if page.len() < PAGE as usize {
                break;
            }
        }
        if report.clips > 0 {
            self.parts.engine.wake();
        }
        Ok(report)
    }

    async fn reread_one(&self, row: &UnreadRow, report: &mut RereadReport) -> Result<(), CatalogError> {
        let UnreadRow { provider, request_id, form, .. } = row;
        // Understood meanwhile.
        let Some((_, payload)) = self.parts.catalog.unread(provider, request_id).await? else { return Ok(()) };
        let Some(payload) = payload.map(Bytes::from) else {
            report.erased += 1;
            return Ok(());
        };
        let kept = KeptPayload { provider, request_id, form: *form, payload: &payload };
        // It came when it came: what is new of it is not younger.
        let Ok(Decoded { mut record, inlines, notes }) = self.parts.providers.reread(&kept, row.at) else {
            report.unreadable += 1;
            return Ok(());
        };
        // What stays unread is kept already, as it came.
        (record.origin, record.unread) = (Origin::Reread, None);
        let is_understood = matches!(record.status, GenerationStatus::Completed | GenerationStatus::Failed);
        if !is_understood && record.clips.is_empty() {
            report.unreadable += 1;
            return Ok(());
        }
        match self.parts.intake.record(&Decoded { record, inlines, notes }).await {
            Ok(HookOutcome::Recorded { clips }) => report.clips += clips.len() as u64,
            Ok(HookOutcome::Duplicate) => {}
            Err(CatalogError::KeyTaken { .. }) => {
                report.refused += 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        match is_understood {
            true => report.understood += 1,
            false => report.unreadable += 1,
        }
        Ok(())
    }
}
