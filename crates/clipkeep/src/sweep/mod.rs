//! The sweep: the background pass over what no webhook and no viewer brings.
//!
//! A round runs its steps in order. Each is bounded and may be killed anywhere:
//! what it did is in the catalogue, what it did not is found by the next round.
//! Any number of nodes may sweep at once. Due clips are no step of it: the fill
//! engine looks for them by itself. Neither is drift, which looks at everything
//! there is: it has a pace of its own, beside the rounds.

mod budgets;
pub mod drift;
mod expiry;
mod poll;
mod refused;
mod report;
mod reread;
pub mod retention;
mod risk;
pub mod tombstones;
pub mod unshare;

use std::{
    error::Error,
    future::Future,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use clipkeep_core::{address::SourceRules, retention::Retention, time::Clock};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

pub use self::{
    budgets::BudgetReport, expiry::ExpiryReport, poll::PollReport, report::Report, reread::RereadReport,
    risk::RiskReport,
};
use self::{
    drift::{Drift, DriftError, DriftReport, DriftSettings},
    retention::{RetentionReport, RetentionWalk},
    tombstones::TombstoneReport,
    unshare::UnshareReport,
};
use crate::{
    catalog::{Catalog, CatalogError},
    costs::BudgetWatch,
    custody::Custody,
    fill::FillEngine,
    intake::Intake,
    poster::Posters,
    provider::Providers,
    store::Store,
    telemetry::Metrics,
};

/// How many pages of old clips one round looks at.
const RETENTION_PAGES: u32 = 20;

/// What bounds and paces the sweep.
#[derive(Clone, Debug)]
pub struct SweepSettings {
    pub interval: Duration,
    /// The pause between two looks for drift.
    pub drift_interval: Duration,
    /// How long a node that is gone keeps a lease.
    pub lease: Duration,
    pub retention: Retention,
    /// The first delay between two polls of a generation; each next one doubles.
    pub retry_base: Duration,
    /// The longest delay between two polls.
    pub retry_max: Duration,
    /// After how many answers «unknown» a generation is given up.
    pub not_found_attempts: u32,
    /// At which age a generation without an end is given up.
    pub poll_timeout: Duration,
    /// How long before its source vanishes a clip is at risk.
    pub at_risk_before: Duration,
    /// Whether clips may share objects; if not, those that do are unshared.
    pub share_objects: bool,
    /// How long events are kept.
    pub events_keep: Duration,
    /// How long the history of stored and ended clips is kept.
    pub history_keep: Duration,
    /// How long usage is kept by the hour.
    pub usage_hourly_keep: Duration,
    /// The endpoints that are told: what they have not been told yet is no old event.
    pub endpoints: Vec<String>,
    /// Where sources may be.
    pub sources: SourceRules,
}

/// For one moment that a look at the budgets takes, so many pass until the next
/// one: it reads a whole month.
const WEIGHING_PAUSE: u32 = 60;

/// What the sweep works with.
pub struct SweepParts {
    /// Bounds and pace.
    pub settings: SweepSettings,
    pub catalog: Arc<dyn Catalog>,
    pub store: Arc<Store>,
    pub custody: Arc<Custody>,
    /// Where this process keeps clips that are on their way.
    pub partials: PathBuf,
    /// The way in for what a poll brings: the same as for webhooks.
    pub intake: Arc<Intake>,
    /// Who fills what became due.
    pub engine: FillEngine,
    pub posters: Arc<Posters>,
    pub providers: Arc<Providers>,
    /// How much a month may cost.
    pub budgets: Arc<BudgetWatch>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
}

/// The sweep.
pub struct Sweep {
    parts: SweepParts,
    /// How far the look for clips that are too old is.
    old: Mutex<RetentionWalk>,
    /// How far the look for records that are too old is.
    records: Mutex<expiry::Walk>,
    /// What was told of budgets.
    weighed: Mutex<budgets::Memory>,
    /// Whether clips were brought back whose sources may be asked now.
    allowed: refused::Once,
}

impl Sweep {
    /// A sweep that does nothing until [`Sweep::run`] or [`Sweep::round`].
    pub fn new(parts: SweepParts) -> Self {
        Self {
            parts,
            old: Mutex::default(),
            records: Mutex::default(),
            weighed: Mutex::default(),
            allowed: refused::Once::default(),
        }
    }

    /// Sweeps until `stop`: what cannot wait every interval, what asks the store
    /// likewise but beside it, since a store may be slow, and drift and budgets
    /// at paces of their own.
    pub async fn run(&self, stop: &CancellationToken) {
        let SweepSettings { interval, drift_interval, lease, .. } = self.parts.settings;
        let urgent = async {
            loop {
                let mut report = Report::default();
                self.urgent(&mut report).await;
                self.log(&report);
                tokio::time::sleep(interval).await;
            }
        };
        let removals = async {
            loop {
                let mut report = Report::default();
                self.remove(&mut report).await;
                self.log(&report);
                tokio::time::sleep(interval).await;
            }
        };
        let drift = async {
            loop {
                tokio::time::sleep(drift_interval).await;
                if let Err(error) = self.drift(DriftSettings::new(lease)).await {
                    tracing::warn!(error = &error as &dyn Error, "the look for drift was not finished");
                }
            }
        };
        let budgets = async {
            loop {
                let mut report = Report::default();
                let pause = self.weigh(&mut report).await;
                self.log(&report);
                tokio::time::sleep(pause).await;
            }
        };
        let posters = async {
            loop {
                self.draw().await;
                tokio::time::sleep(interval).await;
            }
        };
        tokio::select! {
            ((), (), (), (), ()) = async { tokio::join!(urgent, removals, drift, budgets, posters) } => {}
            () = stop.cancelled() => {}
        }
    }

    /// Runs each step once. Dropping the future is safe: what was begun is done
    /// by a later round.
    pub async fn round(&self) -> Report {
        let mut report = Report::default();
        self.urgent(&mut report).await;
        self.remove(&mut report).await;
        self.weigh(&mut report).await;
        self.log(&report);
        report
    }

    /// The log's line and the counters of a round.
    fn log(&self, report: &Report) {
        report.log();
        let metrics = &self.parts.metrics;
        metrics.swept("too_old", report.retention.deleted);
        metrics.swept("objects_removed", report.tombstones.removed);
        metrics.swept("events_expired", report.expired.events);
        metrics.swept("history_expired", report.expired.history);
        metrics.swept("usage_rolled_up", report.expired.usage);
        metrics.swept("unfinished_steps", report.unfinished.len() as u64);
    }

    /// The steps that cannot wait. One that fails does not stop the others.
    async fn urgent(&self, report: &mut Report) {
        let unfinished = &mut report.unfinished;
        step("polls", unfinished, poll::run(self, &mut report.polls)).await;
        step("at_risk", unfinished, risk::run(self, &mut report.risk)).await;
        step("allowed", unfinished, self.allowed.run(&self.parts, &mut report.allowed)).await;
    }

    /// The steps that remove objects. An object that is not there counts as
    /// removed, so they wait for a store that is away.
    async fn remove(&self, report: &mut Report) {
        let unfinished = &mut report.unfinished;
        if let Err(error) = self.parts.custody.ours().await {
            tracing::warn!(error = &error as &dyn Error, "nothing is removed");
            return unfinished.push("removals");
        }
        step("retention", unfinished, self.retain(&mut report.retention)).await;
        step("unsharing", unfinished, self.unshare(&mut report.unsharing)).await;
        step("tombstones", unfinished, self.remove_tombstones(&mut report.tombstones)).await;
        step("expiry", unfinished, self.expire(&mut report.expired)).await;
    }

    /// Looks what the month costs; answers how long to wait before the next look.
    async fn weigh(&self, report: &mut Report) -> Duration {
        let began = Instant::now();
        if let Err(error) = budgets::run(self, &mut report.budgets).await {
            tracing::warn!(step = "budgets", error = &error as &dyn Error, "a step of the sweep failed");
            report.unfinished.push("budgets");
        }
        self.parts.settings.interval.max(began.elapsed() * WEIGHING_PAUSE)
    }

    /// Makes the posters that are missing; newest first, all of them.
    async fn draw(&self) {
        loop {
            match self.parts.posters.catch_up(self.parts.clock.now()).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    return tracing::warn!(
                        step = "posters",
                        error = &error as &dyn Error,
                        "a step of the sweep failed"
                    );
                }
            }
        }
    }

    async fn retain(&self, report: &mut RetentionReport) -> Result<(), CatalogError> {
        let SweepParts { settings, catalog, custody, clock, .. } = &self.parts;
        let mut walk = self.old.lock().await;
        let step =
            walk.step(&**catalog, custody, &settings.retention, clock.now(), settings.lease, RETENTION_PAGES).await;
        *report = step?;
        retention::erase_unread(&**catalog, &settings.retention, clock.now()).await
    }

    async fn expire(&self, report: &mut ExpiryReport) -> Result<(), CatalogError> {
        let SweepParts { settings, catalog, clock, .. } = &self.parts;
        self.records.lock().await.step(&**catalog, settings, clock.now(), report).await
    }

    async fn unshare(&self, report: &mut UnshareReport) -> Result<(), CatalogError> {
        let SweepParts { settings, catalog, store, clock, .. } = &self.parts;
        let all = !settings.share_objects;
        unshare::run(&**catalog, store, all, &**clock, settings.lease).await.map(|done| *report = done)
    }

    async fn remove_tombstones(&self, report: &mut TombstoneReport) -> Result<(), CatalogError> {
        let SweepParts { catalog, store, clock, .. } = &self.parts;
        tombstones::run(&**catalog, store, clock.now()).await.map(|done| *report = done)
    }

    /// Compares all rows with all objects, and mends. Dropping the future is
    /// safe.
    ///
    /// # Errors
    /// If the catalogue, the store or the disk does not answer.
    pub async fn drift(&self, settings: DriftSettings) -> Result<DriftReport, DriftError> {
        let parts = &self.parts;
        let drift = Drift {
            catalog: &*parts.catalog,
            store: &parts.store,
            clock: &*parts.clock,
            partials: parts.partials.clone(),
            is_filling: &|key| parts.engine.find(key).is_some(),
            settings,
        };
        let report = drift.run().await?;
        report.log();
        report.count(&parts.metrics);
        if report.missing + report.wrong_size + report.adopted > 0 {
            parts.engine.wake();
        }
        Ok(report)
    }
}

async fn step(
    name: &'static str,
    unfinished: &mut Vec<&'static str>,
    work: impl Future<Output = Result<(), CatalogError>>,
) {
    if let Err(error) = work.await {
        tracing::warn!(step = name, error = &error as &dyn Error, "a step of the sweep failed");
        unfinished.push(name);
    }
}
