//! What a sweep did, in words.

use std::fmt::Write as _;

use clipkeep_core::config::DurationText;
use serde::Serialize;

use super::output;
use crate::{
    fill::FillEnd,
    sweep::{
        self,
        drift::{DriftReport, DriftSettings},
    },
};

/// What came of it. Ends are counted, not clips: one that was put off and came
/// to its end a moment later counts twice.
#[derive(Default, Serialize)]
pub(super) struct Summary {
    stored: u64,
    lost: u64,
    rejected: u64,
    later: u64,
    #[serde(flatten)]
    pub(super) round: sweep::Report,
    /// What was compared and mended; none if that was not finished.
    pub(super) drift: Option<DriftReport>,
    /// Whether it was told to stop before all was done.
    /// Clips without a poster that were looked at.
    pub(super) posters: u64,
    pub(super) stopped: bool,
}

impl Summary {
    pub(super) fn count(&mut self, end: &FillEnd) {
        match end {
            FillEnd::Stored => self.stored += 1,
            FillEnd::Lost => self.lost += 1,
            FillEnd::Rejected => self.rejected += 1,
            FillEnd::Later => self.later += 1,
            FillEnd::Abandoned | FillEnd::Nothing => {}
        }
    }

    /// Whether drift was found that is mended by filling.
    pub(super) fn has_drift(&self) -> bool {
        self.drift.as_ref().is_some_and(|drift| drift.missing + drift.wrong_size > 0)
    }

    /// Whether there was nothing to do, and nothing to say of it.
    fn is_nothing(&self) -> bool {
        let sweep::Report { polls, risk, retention, tombstones, unsharing, expired, budgets, allowed, unfinished } =
            &self.round;
        let done = self.stored + self.lost + self.rejected + self.later + polls.asked + polls.unasked + risk.at_risk;
        let removed =
            retention.deleted + tombstones.removed + tombstones.failed + unsharing.unshared + unsharing.failed;
        let is_well = |drift: &DriftReport| {
            let DriftReport { missing, wrong_size, orphans, found_again, leftovers, uploads, .. } = drift;
            let (left, failed) = (drift.leases + drift.copies, drift.failed);
            missing + wrong_size + orphans + found_again + leftovers + uploads + left + failed == 0 && !drift.stopped
        };
        let expired = expired.events + expired.history + expired.usage;
        done + removed + expired + budgets.exceeded + allowed + self.posters == 0
            && unfinished.is_empty()
            && !self.stopped
            && self.drift.as_ref().is_some_and(is_well)
    }

    pub(super) fn print(&self, settings: &DriftSettings, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            return output::json(self);
        }
        if let Some(drift) = self.drift.as_ref().filter(|_| self.is_nothing()) {
            let (rows, objects) = (compared_rows(drift, settings), output::count(drift.objects, "object"));
            output::line(format!("nothing to do: {rows}; {objects}"));
            return Ok(());
        }
        output::line(format!(
            "clips        {} stored, {} lost, {} rejected, {} put off",
            self.stored, self.lost, self.rejected, self.later
        ));
        if self.posters > 0 {
            output::line(format!("posters      {} looked at", output::count(self.posters, "clip")));
        }
        self.print_round();
        if let Some(drift) = &self.drift {
            print_drift(drift, settings);
        }
        if !self.round.unfinished.is_empty() {
            output::line(format!("unfinished   {} (see the log)", self.round.unfinished.join(", ")));
        }
        if self.stopped {
            output::line("stopped; the next run goes on from here");
        }
        Ok(())
    }

    fn print_round(&self) {
        let sweep::Report { polls, risk, retention, tombstones, unsharing, expired, budgets, allowed, .. } =
            &self.round;
        let mut asked = format!(
            "generations  {} asked for: {} completed, {} failed, {} given up, {} running, {} put off",
            polls.asked, polls.completed, polls.failed, polls.given_up, polls.running, polls.later
        );
        if polls.unasked > 0 {
            // Writing into a String cannot fail.
            let _ = write!(asked, "; {} cannot be asked for: no model is known that leads there", polls.unasked);
        }
        output::line(asked);
        output::line(format!("at risk      {}, {} told of now", output::count(risk.at_risk, "clip"), risk.reported));
        output::line(format!(
            "retention    {} deleted for age; {} of deleted clips removed for good",
            output::count(retention.deleted, "clip"),
            output::count(tombstones.removed, "object")
        ));
        if unsharing.unshared + unsharing.failed > 0 {
            let (unshared, failed) = (output::count(unsharing.unshared, "clip"), unsharing.failed);
            output::line(format!("sharing      {unshared} got an object of their own, {failed} not yet"));
        }
        if expired.events + expired.history + expired.usage > 0 {
            output::line(format!(
                "records      {} and {} of history removed for age; {} of usage added to their days",
                output::count(expired.events, "event"),
                output::count(expired.history, "line"),
                output::count(expired.usage, "hour")
            ));
        }
        if *allowed > 0 {
            let allowed = output::count(*allowed, "clip");
            output::line(format!("allowed      {allowed} tried again, as their sources may be asked now"));
        }
        if budgets.exceeded > 0 {
            let exceeded = output::count(budgets.exceeded, "budget");
            output::line(format!("budgets      {exceeded} used up, {} told of now", budgets.alarms));
        }
    }
}

/// `40 rows compared, 2 younger than 2m passed over`.
fn compared_rows(drift: &DriftReport, settings: &DriftSettings) -> String {
    let mut text = format!("{} compared", output::count(drift.rows, "row"));
    if drift.young > 0 {
        // Writing into a String cannot fail.
        let _ = write!(text, ", {} younger than {} passed over", drift.young, DurationText(settings.grace));
    }
    text
}

/// What was found, and what was done about it, or would be.
pub(super) fn print_drift(drift: &DriftReport, settings: &DriftSettings) {
    let would = if settings.look_only { "to be " } else { "" };
    let rows = compared_rows(drift, settings);
    output::line(format!(
        "rows         {rows}: {} without an object, {} of another size",
        drift.missing, drift.wrong_size
    ));
    output::line(format!(
        "objects      {} compared: {} without a row, {} found again ({} {would}adopted, {} {would}removed), {} no clips by their name",
        drift.objects, drift.orphans, drift.found_again, drift.adopted, drift.removed, drift.strangers
    ));
    for name in &drift.examples {
        output::line(format!("             {name}"));
    }
    if drift.too_young > 0 {
        let age = DurationText(settings.orphan_grace());
        output::line(format!(
            "             {} younger than {age} passed over; a later run takes them",
            drift.too_young
        ));
    }
    if drift.orphans > 0 && !settings.adopt && !settings.delete_orphans {
        output::line("             hint: --adopt registers them, --delete-orphans removes those older than a day");
    }
    output::line(format!(
        "left over    {}, {} of deleted clips, {}; {} ran out",
        output::count(drift.uploads, "upload"),
        output::count(drift.leftovers, "object"),
        output::count(drift.copies, "half-filled file"),
        output::count(drift.leases, "lease")
    ));
    if drift.failed > 0 {
        output::line(format!(
            "             {} could not be removed (see the log)",
            output::count(drift.failed, "object")
        ));
    }
    if drift.stopped {
        output::line("             too much is missing to be true: are `store` and `database` the right ones?");
    }
}
