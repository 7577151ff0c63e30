//! The one way in for what a provider says of a generation, be it by webhook,
//! when it is asked, or through the proxy: what came as data is put into the
//! store, then the record is committed.

use std::sync::Arc;

use clipkeep_core::{generation::HookRecord, hook::Decoded, state::GenerationStatus};

use crate::{
    catalog::{CatalogError, HookOutcome, group::HookWriter},
    fill::Inbox,
    telemetry::Metrics,
};

/// The way in.
pub struct Intake {
    hooks: HookWriter,
    inbox: Inbox,
    metrics: Arc<Metrics>,
}

impl Intake {
    /// Records by `hooks`, and keeps data in `inbox`.
    pub const fn new(hooks: HookWriter, inbox: Inbox, metrics: Arc<Metrics>) -> Self {
        Self { hooks, inbox, metrics }
    }

    /// Keeps all that was said: `Ok` means that it is on disk, and so are bytes
    /// that came with it. Said again, it changes nothing; so whoever is killed
    /// halfway, or gets an error, says it again. Dropping the future does not
    /// undo anything.
    ///
    /// # Errors
    /// If the store or the catalogue does not take it.
    pub async fn record(&self, decoded: &Decoded) -> Result<HookOutcome, CatalogError> {
        let record = &decoded.record;
        for inline in &decoded.inlines {
            let kept = self.inbox.keep(&record.provider, &record.request_id, inline).await;
            kept.map_err(|error| CatalogError::unavailable("keeping what came as data", error))?;
        }
        let outcome = self.hooks.record(record.clone()).await?;
        if matches!(outcome, HookOutcome::Recorded { .. }) {
            self.log(decoded);
        }
        Ok(outcome)
    }

    /// Whether what was said last could not be committed.
    pub fn is_failing(&self) -> bool {
        self.hooks.is_failing()
    }

    /// Refuses more, commits what waits, and returns.
    pub async fn shutdown(&self) {
        self.hooks.shutdown().await;
    }

    /// What became no clip, and what was not understood.
    fn log(&self, Decoded { record, notes, .. }: &Decoded) {
        let HookRecord { request_id, status, unread, .. } = record;
        for note in notes {
            tracing::info!(%request_id, slot = note.slot, reason = note.reason, "a file of the result became no clip");
        }
        if let Some(unread) = unread.as_ref().filter(|_| *status == GenerationStatus::Unreadable) {
            self.metrics.unreadable(unread.form.as_str());
            tracing::error!(
                %request_id, why = unread.why, bytes = unread.len,
                "a result is not understood; it is kept as it came, see `clipkeep find --unreadable`"
            );
        }
    }
}
