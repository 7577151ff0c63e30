//! `clipkeep sweep --retry`: clips that are lost or rejected, once more.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use clipkeep_core::{
    config::Config,
    generation::Clip,
    id::{ClipKey, Tenant},
    state::ClipState,
    usage::Moment,
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{LISTED, bar, output};
use crate::{
    app::App,
    catalog::{self, Catalog, ClipFilter, Cursor},
    data_dir::Role,
    fill::FillEnd,
    shutdown,
};

/// How many come back at once.
const PAGE: u32 = 500;

#[derive(Debug, clap::Args)]
pub(super) struct Retry {
    /// Only retry clips in this state (lost or rejected), as if for the first time.
    #[arg(long = "retry", value_name = "STATES", value_delimiter = ',', value_parser = over,
        conflicts_with_all = ["at_risk", "adopt", "delete_orphans"])]
    states: Vec<ClipState>,
    /// Retry only clips of this model.
    #[arg(long, requires = "states")]
    model: Option<String>,
    /// Retry only clips of this tenant.
    #[arg(long, requires = "states")]
    tenant: Option<Tenant>,
    /// Retry only clips created at or after this time (2026-01-31T12:00:00Z, 2026-01-31 or 2026-01; UTC).
    #[arg(long, value_name = "TIME", requires = "states")]
    created_after: Option<Moment>,
    /// Retry only clips created before this time.
    #[arg(long, value_name = "TIME", requires = "states")]
    created_before: Option<Moment>,
    /// Retry only clips whose last error contains this text, in any case. Clips that
    /// were rejected because their attempts crashed or hung are retried only if this
    /// text matches that reason.
    #[arg(long, value_name = "TEXT", requires = "states")]
    reason: Option<String>,
}

fn over(text: &str) -> Result<ClipState, String> {
    match text.parse() {
        Ok(state @ (ClipState::Lost | ClipState::Rejected)) => Ok(state),
        _ => Err("must be lost, rejected, or both with a comma".to_owned()),
    }
}

/// What came of it.
#[derive(Default, Serialize)]
struct Retried {
    /// Clips that were tried again.
    retried: u64,
    /// How fills ended that were due, theirs and others'.
    stored: u64,
    lost: u64,
    rejected: u64,
    later: u64,
    /// Whether it was told to stop before all was done.
    stopped: bool,
}

/// What would be tried again.
#[derive(Serialize)]
struct Would {
    would_retry: u64,
    first: Vec<ClipKey>,
}

impl Retry {
    /// Whether that is what is wanted.
    pub(super) const fn is_wanted(&self) -> bool {
        !self.states.is_empty()
    }

    pub(super) async fn look(&self, config: &Config, limit: Option<u32>, as_json: bool) -> anyhow::Result<ExitCode> {
        self.check()?;
        let catalog = catalog::open::open_configured(config).await?;
        let mut would = Would { would_retry: 0, first: Vec::new() };
        let mut walk = Walk::new(self, limit);
        while let Some(keys) = walk.next(&*catalog).await? {
            would.would_retry += keys.len() as u64;
            let room = (LISTED as usize).saturating_sub(would.first.len());
            would.first.extend(keys.into_iter().take(room));
        }
        if as_json {
            output::json(&would)?;
        } else {
            output::line(format!("{} would be tried again", output::count(would.would_retry, "clip")));
            would.first.iter().for_each(|key| output::line(format!("  {key}")));
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn run(&self, config: Config, limit: Option<u32>, as_json: bool) -> anyhow::Result<ExitCode> {
        self.check()?;
        let stop = shutdown::on_signal().context("listening for signals")?;
        let app = App::open(config, Role::Command).await?;
        let retried = self.work(&app, limit, &stop, as_json).await;
        app.close().await;
        let retried = retried?;
        if as_json {
            output::json(&retried)?;
        } else {
            let Retried { retried: count, stored, lost, rejected, later, stopped } = &retried;
            output::line(format!("{} tried again", output::count(*count, "clip")));
            output::line(format!("fills        {stored} stored, {lost} lost, {rejected} rejected, {later} put off"));
            if *stopped {
                output::line("stopped; what was brought back is due, and filled by a node or the next sweep");
            }
        }
        Ok(if retried.stopped { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn check(&self) -> anyhow::Result<()> {
        output::in_order("--created-after", self.created_after, "--created-before", self.created_before)
    }

    async fn work(
        &self,
        app: &Arc<App>,
        limit: Option<u32>,
        stop: &CancellationToken,
        as_json: bool,
    ) -> anyhow::Result<Retried> {
        let mut retried = Retried::default();
        let mut walk = Walk::new(self, limit);
        while let Some(keys) = walk.next(&*app.catalog).await? {
            let vanished = self.reason.is_some();
            let back = app.catalog.requeue(&keys, app.clock.now(), "by `sweep --retry`", vanished).await?;
            retried.retried += back.len() as u64;
            if stop.is_cancelled() {
                retried.stopped = true;
                return Ok(retried);
            }
        }
        if retried.retried == 0 {
            return Ok(retried);
        }
        let bar = bar(retried.retried, as_json)?;
        let filled = app.engine.fill_due(usize::MAX, |end| {
            bar.inc(1);
            match end {
                FillEnd::Stored => retried.stored += 1,
                FillEnd::Lost => retried.lost += 1,
                FillEnd::Rejected => retried.rejected += 1,
                FillEnd::Later => retried.later += 1,
                FillEnd::Abandoned | FillEnd::Nothing => {}
            }
        });
        let done = tokio::select! {
            filled = filled => Some(filled),
            () = stop.cancelled() => None,
        };
        bar.finish_and_clear();
        retried.stopped = done.is_none();
        done.transpose()?;
        Ok(retried)
    }
}

/// The walk over the clips that are wanted, newest first, state by state.
struct Walk<'a> {
    retry: &'a Retry,
    states: std::slice::Iter<'a, ClipState>,
    state: Option<ClipState>,
    after: Option<Cursor>,
    left: usize,
}

impl<'a> Walk<'a> {
    fn new(retry: &'a Retry, limit: Option<u32>) -> Self {
        let mut states = retry.states.iter();
        let state = states.next().copied();
        Self { retry, states, state, after: None, left: limit.map_or(usize::MAX, |limit| limit as usize) }
    }

    /// The next of them; none at the end.
    async fn next(&mut self, catalog: &dyn Catalog) -> anyhow::Result<Option<Vec<ClipKey>>> {
        let (Some(state), true) = (self.state, self.left > 0) else { return Ok(None) };
        let Retry { model, tenant, created_after, created_before, .. } = self.retry;
        let filter = ClipFilter {
            state: Some(state),
            model: model.clone(),
            tenant: tenant.clone(),
            created_after: created_after.map(|moment| moment.0),
            created_before: created_before.map(|moment| moment.0),
            ..ClipFilter::default()
        };
        let page = catalog.clips(&filter, self.after.as_ref(), PAGE).await?;
        self.after = page.next;
        if self.after.is_none() {
            self.state = self.states.next().copied();
        }
        let wanted = page.clips.into_iter().filter(|clip| self.wants(clip)).take(self.left);
        let keys: Vec<ClipKey> = wanted.map(|clip| clip.key).collect();
        self.left -= keys.len();
        Ok(Some(keys))
    }

    fn wants(&self, clip: &Clip) -> bool {
        let holds = |reason: &String| {
            clip.last_error.as_deref().is_some_and(|why| why.to_lowercase().contains(&reason.to_lowercase()))
        };
        self.retry.reason.as_ref().map_or(clip.vanished == 0, holds)
    }
}
