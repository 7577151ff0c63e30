//! The sweep: the background pass over what no webhook and no viewer brings.
//!
//! A round runs its steps in order. Each is bounded and may be killed anywhere:
//! what it did is in the catalogue, what it did not is found by the next round.
//! Any number of nodes may sweep at once. Due clips are no step of it: the fill
//! engine looks for them by itself.

pub mod drift;
mod poll;
pub mod retention;
mod risk;
pub mod tombstones;

use std::{future::Future, sync::Arc, time::Duration};

use clipkeep_core::time::Clock;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub use self::{poll::PollReport, risk::RiskReport};
use crate::{
    catalog::{Catalog, CatalogError, group::HookWriter},
    fill::FillEngine,
    provider::FalQueue,
    telemetry::Metrics,
};

/// What bounds and paces the sweep.
#[derive(Clone, Debug)]
pub struct SweepSettings {
    /// The pause between rounds.
    pub interval: Duration,
    /// The first delay between two polls of a generation; each next one doubles.
    pub retry_base: Duration,
    /// The longest delay between two polls.
    pub retry_max: Duration,
    /// After how many answers «unknown» a generation is given up.
    pub gone_attempts: u32,
    /// At which age a generation without an end is given up.
    pub poll_give_up: Duration,
    /// How long before its source vanishes a clip is at risk.
    pub at_risk_before: Duration,
    /// How long a source lives, if nothing better is known.
    pub source_lifetime: Option<Duration>,
}

/// What the sweep works with.
pub struct SweepParts {
    /// Bounds and pace.
    pub settings: SweepSettings,
    /// Rows.
    pub catalog: Arc<dyn Catalog>,
    /// The way in for what a poll brings: the same as for webhooks.
    pub hooks: Arc<HookWriter>,
    /// Who fills what became due.
    pub engine: FillEngine,
    /// Who is asked.
    pub fal: FalQueue,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// The sweep.
pub struct Sweep {
    parts: SweepParts,
}

/// What one round did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Lost webhooks.
    pub polls: PollReport,
    /// Clips at risk.
    pub risk: RiskReport,
    /// Steps that could not be finished.
    pub unfinished: Vec<&'static str>,
}

impl Sweep {
    /// A sweep that does nothing until [`Sweep::run`] or [`Sweep::round`].
    pub const fn new(parts: SweepParts) -> Self {
        Self { parts }
    }

    /// Runs a round every interval until `stop`.
    pub async fn run(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                _ = self.round() => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(self.parts.settings.interval) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Runs each step once. Dropping the future is safe: what was begun is done
    /// by a later round.
    pub async fn round(&self) -> Report {
        let mut report = Report::default();
        let unfinished = &mut report.unfinished;
        // The steps, in order. One that fails does not stop the others.
        step("polls", unfinished, poll::run(self, &mut report.polls)).await;
        step("at_risk", unfinished, risk::run(self, &mut report.risk)).await;
        report.log();
        report
    }
}

impl Report {
    /// One line for a round that did something.
    fn log(&self) {
        let (polls, risk) = (&self.polls, &self.risk);
        if polls.asked + risk.told == 0 && self.unfinished.is_empty() {
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
            told_at_risk = risk.told,
            at_risk = risk.at_risk,
            unfinished = self.unfinished.join(","),
            "swept"
        );
    }
}

async fn step(
    name: &'static str,
    unfinished: &mut Vec<&'static str>,
    work: impl Future<Output = Result<(), CatalogError>>,
) {
    if let Err(error) = work.await {
        tracing::warn!(step = name, error = &error as &dyn std::error::Error, "a step of the sweep failed");
        unfinished.push(name);
    }
}
