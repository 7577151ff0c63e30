//! What would be done, and what is at risk; changes nothing.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clipkeep_core::{config::Config, generation::Clip, time::Timestamp};
use serde::Serialize;
use serde_json::json;

use super::{output, spinner, summary::print_drift};
use crate::{
    app::{self, FinalUrls},
    catalog::Catalog,
    clock::SystemClock,
    sweep::{
        drift::{Drift, DriftReport, DriftSettings},
        retention::{self, TooOld},
    },
    web::ClipRow,
};

/// What looks and changes nothing.
pub(super) struct Look<'a> {
    pub(super) catalog: &'a dyn Catalog,
    pub(super) config: &'a Config,
    pub(super) now: Timestamp,
    pub(super) as_json: bool,
}

impl Look<'_> {
    fn until(&self) -> Timestamp {
        self.now.plus(self.config.at_risk_before)
    }

    pub(super) async fn at_risk(&self, limit: u32) -> anyhow::Result<ExitCode> {
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

    pub(super) async fn dry_run(&self, limit: u32, settings: DriftSettings) -> anyhow::Result<ExitCode> {
        let pending_counts = self.catalog.pending_counts(self.now).await?;
        let would = Would {
            due: pending_counts.due,
            polls: pending_counts.polls,
            unasked: self.catalog.count_unasked().await?,
            at_risk: self.catalog.count_at_risk(self.until()).await?,
            too_old: retention::look(self.catalog, &self.config.retention, self.now, limit as usize).await?,
            tombstones: self.catalog.count_tombstones(self.now).await?,
            drift: self.drift(settings).await.context("comparing rows with objects")?,
        };
        let clips = self.catalog.most_urgent(self.now, limit).await?;
        if self.as_json {
            let first: Vec<&str> = clips.iter().map(|clip| clip.key.as_str()).collect();
            output::json(&DryRun { would, first })?;
            return Ok(ExitCode::SUCCESS);
        }
        would.print(&settings);
        if !clips.is_empty() {
            output::line("");
            output::line("The most urgent:");
            print_rows(&clips);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn drift(&self, settings: DriftSettings) -> anyhow::Result<DriftReport> {
        let store = app::store_at(self.config)?;
        let spinner = spinner(self.as_json);
        let drift = Drift {
            catalog: self.catalog,
            store: &store,
            clock: &SystemClock,
            // A command's own, new and empty.
            partials: PathBuf::new(),
            is_filling: &|_| false,
            settings,
        };
        let looked = drift.run().await;
        spinner.finish_and_clear();
        Ok(looked?)
    }

    fn rows(&self, clips: Vec<Clip>) -> Vec<ClipRow> {
        let urls = FinalUrls::new(self.config);
        clips.into_iter().map(|clip| ClipRow::new(clip, &urls)).collect()
    }
}

/// What would be done.
#[derive(Serialize)]
struct Would {
    due: u64,
    polls: u64,
    unasked: u64,
    at_risk: u64,
    too_old: TooOld,
    tombstones: u64,
    drift: DriftReport,
}

#[derive(Serialize)]
struct DryRun<'a> {
    #[serde(flatten)]
    would: Would,
    first: Vec<&'a str>,
}

impl Would {
    fn print(&self, settings: &DriftSettings) {
        let Self { due, polls, unasked, at_risk, too_old, tombstones, drift } = self;
        output::line(format!("clips        {} to be filled", output::count(*due, "clip")));
        output::line(format!("generations  {polls} to be asked for; {unasked} cannot be"));
        output::line(format!("at risk      {}", output::count(*at_risk, "clip")));
        output::line(format!(
            "retention    {} to be deleted for age; {} of deleted clips to be removed for good",
            output::count(too_old.clips, "clip"),
            output::count(*tombstones, "object")
        ));
        for key in &too_old.first {
            output::line(format!("             {key}"));
        }
        print_drift(drift, settings);
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
