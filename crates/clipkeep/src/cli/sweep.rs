//! `clipkeep sweep`: one round of the sweep, then everything that is due.

use std::{fmt::Write as _, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use clipkeep_core::{
    config::Config,
    generation::Clip,
    time::{Clock, Timestamp},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::output;
use crate::{
    app::{App, FinalUrls},
    catalog::{self, Catalog},
    clock::SystemClock,
    fill::FillEnd,
    scratch::Role,
    shutdown,
    sweep::{
        self,
        drift::{DriftReport, DriftSettings},
    },
    web::ClipRow,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Say what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// List the clips that are at risk, soonest first, and do nothing else.
    #[arg(long, conflicts_with = "dry_run")]
    at_risk: bool,
    /// Register objects that no row tells of.
    #[arg(long, conflicts_with_all = ["dry_run", "at_risk"])]
    adopt: bool,
    /// Remove objects that no row tells of, if they are older than a day.
    #[arg(long, conflicts_with_all = ["dry_run", "at_risk", "adopt"])]
    delete_orphans: bool,
    /// Fill, or list, at most this many.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl Args {
    /// Whether it only lists, from the catalogue alone.
    pub(super) const fn only_looks(&self) -> bool {
        self.at_risk || self.dry_run
    }
}

/// How many clips are listed unless asked otherwise.
const LISTED: u32 = 20;

pub(super) async fn run(config: Config, args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    if args.only_looks() {
        let catalog = catalog::open::open_configured(&config).await?;
        let look = Look { catalog: &*catalog, config: &config, now: SystemClock.now(), as_json };
        let limit = args.limit.unwrap_or(LISTED);
        return if args.at_risk { look.at_risk(limit).await } else { look.dry_run(limit).await };
    }
    let stop = shutdown::on_signal().context("listening for signals")?;
    let app = App::open(config, Role::Command).await?;
    let swept = work(&app, args, &stop, as_json).await;
    app.close().await;
    swept
}

/// What came of it. Ends are counted, not clips: one that was put off and came
/// to its end a moment later counts twice.
#[derive(Default, Serialize)]
struct Summary {
    stored: u64,
    lost: u64,
    rejected: u64,
    later: u64,
    #[serde(flatten)]
    round: sweep::Report,
    /// What was compared and mended; none if that was not finished.
    drift: Option<DriftReport>,
    /// Whether it was told to stop before all was done.
    stopped: bool,
}

async fn work(app: &Arc<App>, args: &Args, stop: &CancellationToken, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut summary = Summary::default();
    tokio::select! {
        looked = look_around(app, args, as_json, &mut summary) => looked?,
        () = stop.cancelled() => summary.stopped = true,
    }
    if !summary.stopped {
        let due = app.catalog.outstanding(app.clock.now()).await?.due;
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
    summary.print(as_json)?;
    let is_true = summary.drift.as_ref().is_some_and(|drift| !drift.stopped);
    let is_whole = summary.round.unfinished.is_empty() && is_true && !summary.stopped;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One round, and the look for drift.
async fn look_around(app: &App, args: &Args, as_json: bool, summary: &mut Summary) -> anyhow::Result<()> {
    summary.round = app.sweep.round().await;
    let spinner = if as_json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    spinner.set_message("comparing rows with objects");
    spinner.enable_steady_tick(Duration::from_millis(100));
    let settings = DriftSettings {
        adopt: args.adopt,
        delete_orphans: args.delete_orphans,
        ..DriftSettings::new(app.config.lease)
    };
    let looked = app.sweep.drift(settings).await;
    spinner.finish_and_clear();
    summary.drift = Some(looked.context("comparing rows with objects")?);
    Ok(())
}

fn bar(due: u64, as_json: bool) -> anyhow::Result<ProgressBar> {
    if as_json {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("filling  [{bar:32}] {pos}/{len} clips  {per_sec}  {eta} left")?;
    Ok(ProgressBar::new(due).with_style(style.progress_chars("=> ")))
}

impl Summary {
    fn count(&mut self, end: &FillEnd) {
        match end {
            FillEnd::Stored => self.stored += 1,
            FillEnd::Lost => self.lost += 1,
            FillEnd::Rejected => self.rejected += 1,
            FillEnd::Later => self.later += 1,
            FillEnd::LetGo | FillEnd::Nothing => {}
        }
    }

    fn print(&self, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            return output::json(self);
        }
        let (polls, risk) = (&self.round.polls, &self.round.risk);
        output::line(format!(
            "clips        {} stored, {} lost, {} rejected, {} put off",
            self.stored, self.lost, self.rejected, self.later
        ));
        let mut asked = format!(
            "generations  {} asked for: {} completed, {} failed, {} given up, {} running, {} put off",
            polls.asked, polls.completed, polls.failed, polls.given_up, polls.running, polls.later
        );
        if polls.unasked > 0 {
            // Writing into a String cannot fail.
            let _ = write!(asked, "; {} cannot be asked for: their model is not known", polls.unasked);
        }
        output::line(asked);
        output::line(format!("at risk      {} clips, {} of them told of now", risk.at_risk, risk.told));
        output::line(format!("retention    {} clips were too old, and deleted", self.round.retention.deleted));
        if let Some(drift) = &self.drift {
            print_drift(drift);
        }
        if !self.round.unfinished.is_empty() {
            output::line(format!("unfinished   {} (see the log)", self.round.unfinished.join(", ")));
        }
        if self.stopped {
            output::line("stopped; the next run goes on from here");
        }
        Ok(())
    }
}

fn print_drift(drift: &DriftReport) {
    output::line(format!(
        "rows         {} compared: {} without an object, {} of another size",
        drift.rows, drift.missing, drift.wrong_size
    ));
    output::line(format!(
        "objects      {} compared: {} without a row ({} adopted, {} removed), {} found again, {} no clips by their name",
        drift.objects, drift.orphans, drift.adopted, drift.removed, drift.found_again, drift.strangers
    ));
    for name in &drift.examples {
        output::line(format!("             {name}"));
    }
    if drift.orphans > drift.adopted + drift.removed {
        output::line("             hint: --adopt registers them, --delete-orphans removes those older than a day");
    }
    output::line(format!(
        "left over    {} uploads, {} objects of deleted clips, {} half-filled files; {} leases ran out",
        drift.uploads, drift.leftovers, drift.copies, drift.leases
    ));
    if drift.stopped {
        output::line("             too much is missing to be true: are `store` and `database` the right ones?");
    }
}

/// What looks and changes nothing.
struct Look<'a> {
    catalog: &'a dyn Catalog,
    config: &'a Config,
    now: Timestamp,
    as_json: bool,
}

impl Look<'_> {
    fn until(&self) -> Timestamp {
        self.now.plus(self.config.at_risk_before)
    }

    async fn at_risk(&self, limit: u32) -> anyhow::Result<ExitCode> {
        let clips = self.catalog.at_risk(self.until(), limit).await?;
        if self.as_json {
            output::json(&json!({"clips": self.rows(clips)}))?;
        } else if clips.is_empty() {
            output::line("no clip is at risk");
        } else {
            print_rows(&clips);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn dry_run(&self, limit: u32) -> anyhow::Result<ExitCode> {
        let outstanding = self.catalog.outstanding(self.now).await?;
        let at_risk = self.catalog.count_at_risk(self.until()).await?;
        let unasked = self.catalog.count_unasked().await?;
        let clips = self.catalog.most_urgent(self.now, limit).await?;
        if self.as_json {
            let keys: Vec<&str> = clips.iter().map(|clip| clip.key.as_str()).collect();
            let (due, polls) = (outstanding.due, outstanding.polls);
            output::json(&json!({"due": due, "polls": polls, "unasked": unasked, "at_risk": at_risk, "first": keys}))?;
            return Ok(ExitCode::SUCCESS);
        }
        output::line(format!("{} clips would be filled", outstanding.due));
        output::line(format!("{} generations would be asked for, {unasked} cannot be", outstanding.polls));
        output::line(format!("{at_risk} clips are at risk"));
        if !clips.is_empty() {
            output::line("\nThe most urgent:");
            print_rows(&clips);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn rows(&self, clips: Vec<Clip>) -> Vec<ClipRow> {
        let urls = FinalUrls::new(self.config);
        clips.into_iter().map(|clip| ClipRow::new(clip, &urls)).collect()
    }
}

fn print_rows(clips: &[Clip]) {
    let row = |clip: &Clip| {
        let time = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        vec![
            clip.key.to_string(),
            clip.state.to_string(),
            time(clip.source_expires_at),
            time(clip.due_at),
            clip.attempts.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = clips.iter().map(row).collect();
    output::table(&["KEY", "STATE", "SOURCE EXPIRES", "DUE", "ATTEMPTS"], &rows);
}
