//! `clipkeep sweep`: one round of the sweep, then everything that is due.

mod look;
mod retry;
mod summary;

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use clipkeep_core::{config::Config, time::Clock};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use self::{look::Look, retry::Retry, summary::Summary};
use super::output;
use crate::{
    app::App,
    catalog,
    clock::SystemClock,
    data_dir::Role,
    poster::GRACE,
    shutdown,
    sweep::{
        RereadReport,
        drift::{DriftSettings, NOTICE_DELAY},
    },
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only report what would be done; change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Only list the clips at risk, soonest expiry first.
    #[arg(long, conflicts_with = "dry_run")]
    at_risk: bool,
    /// Register objects that have no row in the catalogue.
    #[arg(long, conflicts_with = "at_risk")]
    adopt: bool,
    /// Remove objects that have no row, if they are older than a day.
    #[arg(long, conflicts_with_all = ["at_risk", "adopt"])]
    delete_orphans: bool,
    /// Only parse results again that an earlier version could not parse.
    #[arg(long, conflicts_with_all = ["dry_run", "at_risk", "adopt", "delete_orphans", "limit"])]
    reread: bool,
    /// Fill, or list, at most this many clips.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    #[command(flatten)]
    retry: Retry,
}

/// How many clips are listed unless asked otherwise.
const LISTED: u32 = 20;

pub(super) async fn run(config: Config, args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    if args.retry.is_wanted() {
        return match args.dry_run {
            true => args.retry.look(&config, args.limit, as_json).await,
            false => args.retry.run(config, args.limit, as_json).await,
        };
    }
    if args.only_looks() {
        let catalog = catalog::open::open_configured(&config).await?;
        let look = Look { catalog: &*catalog, config: &config, now: SystemClock.now(), as_json };
        let limit = args.limit.unwrap_or(LISTED);
        return if args.at_risk { look.at_risk(limit).await } else { look.dry_run(limit, args.drift(&config)).await };
    }
    let stop = shutdown::on_signal().context("listening for signals")?;
    let app = App::open(config, Role::Command).await?;
    let swept = match args.reread {
        true => reread(&app, &stop, as_json).await,
        false => work(&app, args, &stop, as_json).await,
    };
    app.close().await;
    swept
}

impl Args {
    /// Whether it asks the catalogue alone.
    pub(super) const fn only_lists(&self) -> bool {
        self.at_risk || (self.dry_run && self.retry.is_wanted())
    }

    /// Whether it changes nothing.
    pub(super) const fn only_looks(&self) -> bool {
        self.at_risk || self.dry_run
    }

    fn drift(&self, config: &Config) -> DriftSettings {
        DriftSettings {
            look_only: self.dry_run,
            adopt: self.adopt,
            delete_orphans: self.delete_orphans,
            ..DriftSettings::new(config.lease)
        }
    }
}

async fn work(app: &Arc<App>, args: &Args, stop: &CancellationToken, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut summary = Summary::default();
    tokio::select! {
        looked = look_around(app, args, as_json, &mut summary) => looked?,
        () = stop.cancelled() => summary.stopped = true,
    }
    if !summary.stopped && summary.has_drift() {
        // What drift found is due only when all nodes have heard of it.
        tokio::select! {
            () = tokio::time::sleep(NOTICE_DELAY) => {}
            () = stop.cancelled() => summary.stopped = true,
        }
    }
    if !summary.stopped {
        let due = app.catalog.pending_counts(app.clock.now()).await?.due;
        let most = args.limit.map_or(usize::MAX, |limit| limit as usize);
        let bar = bar(due.min(most as u64), as_json)?;
        let filled = app.engine.fill_due(most, |end| {
            summary.count(&end);
            bar.inc(1);
        });
        let done = tokio::select! {
            filled = filled => Some(filled),
            () = stop.cancelled() => None,
        };
        bar.finish_and_clear();
        summary.stopped = done.is_none();
        done.transpose()?;
    }
    if !summary.stopped && args.limit.is_none() {
        tokio::select! {
            drawn = draw(app, as_json, &mut summary) => drawn?,
            () = stop.cancelled() => summary.stopped = true,
        }
    }
    summary.print(&args.drift(&app.config), as_json)?;
    let is_true = summary.drift.as_ref().is_some_and(|drift| !drift.stopped);
    let is_whole = summary.round.unfinished.is_empty() && is_true && !summary.stopped;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads again what was not understood. What is understood is due; a running node
/// fills it, or the next sweep.
async fn reread(app: &App, stop: &CancellationToken, as_json: bool) -> anyhow::Result<ExitCode> {
    let report = tokio::select! {
        report = app.sweep.reread() => report?,
        () = stop.cancelled() => return Ok(ExitCode::FAILURE),
    };
    if as_json {
        output::json(&report)?;
    } else {
        let RereadReport { looked_at, understood, clips, unreadable, erased, refused } = report;
        output::line(format!(
            "read {} again: {understood} understood with {}, {unreadable} still not, {erased} erased before, {refused} \
             refused",
            output::count(looked_at, "result"),
            output::count(clips, "new clip")
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// One round, and the look for drift.
async fn look_around(app: &App, args: &Args, as_json: bool, summary: &mut Summary) -> anyhow::Result<()> {
    summary.round = app.sweep.round().await;
    let spinner = spinner(as_json);
    let looked = app.sweep.drift(args.drift(&app.config)).await;
    spinner.finish_and_clear();
    summary.drift = Some(looked.context("comparing rows with objects")?);
    Ok(())
}

/// Makes the posters that are missing, of what was filled just now, too.
async fn draw(app: &App, as_json: bool, summary: &mut Summary) -> anyhow::Result<()> {
    let spinner = spinner(as_json);
    loop {
        spinner.set_message(format!("making posters: {}", summary.posters));
        match app.posters.catch_up(app.clock.now().plus(GRACE)).await.context("looking for clips without a poster")? {
            0 => break,
            looked_at => summary.posters += looked_at,
        }
    }
    spinner.finish_and_clear();
    Ok(())
}

/// Shows that rows and objects are being compared.
fn spinner(as_json: bool) -> ProgressBar {
    let spinner = if as_json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    spinner.set_message("comparing rows with objects");
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn bar(due: u64, as_json: bool) -> anyhow::Result<ProgressBar> {
    if as_json {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("filling  [{bar:32}] {pos}/{len} clips  {per_sec}  {eta} left")?;
    Ok(ProgressBar::new(due).with_style(style.progress_chars("=> ")))
}
