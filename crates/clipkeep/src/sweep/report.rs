//! What was done, for the log and the counters.

use serde::Serialize;

use super::{
    BudgetReport, ExpiryReport, PollReport, RiskReport, drift::DriftReport, retention::RetentionReport,
    tombstones::TombstoneReport, unshare::UnshareReport,
};
use crate::telemetry::Metrics;

/// What one round did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub polls: PollReport,
    /// Clips at risk.
    pub risk: RiskReport,
    /// Clips that were too old.
    pub retention: RetentionReport,
    /// Deleted clips' objects.
    pub tombstones: TombstoneReport,
    /// Clips that shared an object and should not.
    pub unsharing: UnshareReport,
    /// Events, history and usage that were too old.
    pub expired: ExpiryReport,
    /// What the month costs beside what it may.
    pub budgets: BudgetReport,
    /// Clips that are tried again because their source may be asked now.
    pub allowed: u64,
    /// Steps that could not be finished.
    pub unfinished: Vec<&'static str>,
}

impl DriftReport {
    pub(super) fn count(&self, metrics: &Metrics) {
        let found = [
            ("missing", self.missing),
            ("wrong_size", self.wrong_size),
            ("orphans", self.orphans),
            ("adopted", self.adopted),
            ("orphans_removed", self.removed),
            ("leftovers_removed", self.leftovers),
            ("uploads_aborted", self.uploads),
            ("copies_removed", self.copies),
            ("failed_removals", self.failed),
            ("drift_stopped", u64::from(self.stopped)),
        ];
        found.into_iter().for_each(|(outcome, count)| metrics.swept(outcome, count));
    }

    pub(super) fn log(&self) {
        tracing::info!(
            rows = self.rows,
            young = self.young,
            missing = self.missing,
            wrong_size = self.wrong_size,
            objects = self.objects,
            orphans = self.orphans,
            found_again = self.found_again,
            adopted = self.adopted,
            removed = self.removed,
            too_young = self.too_young,
            strangers = self.strangers,
            leftovers = self.leftovers,
            uploads = self.uploads,
            leases = self.leases,
            failed = self.failed,
            copies = self.copies,
            stopped = self.stopped,
            "looked for drift"
        );
    }
}

impl Report {
    /// One line for a round that did something.
    pub(super) fn log(&self) {
        let (polls, risk) = (&self.polls, &self.risk);
        let (old, tombstones, unshared) = (self.retention.deleted, self.tombstones.removed, self.unsharing.unshared);
        if polls.asked + risk.reported + old + tombstones + unshared + self.budgets.alarms + self.allowed == 0
            && self.unfinished.is_empty()
        {
            return;
        }
        tracing::info!(
            asked = polls.asked,
            completed = polls.completed,
            failed = polls.failed,
            given_up = polls.given_up,
            running = polls.running,
            later = polls.later,
            clips = polls.clips,
            unasked = polls.unasked,
            reported_at_risk = risk.reported,
            at_risk = risk.at_risk,
            too_old = old,
            objects_removed = tombstones,
            unshared,
            budget_alarms = self.budgets.alarms,
            allowed = self.allowed,
            unfinished = self.unfinished.join(","),
            "swept"
        );
    }
}
