//! `clipkeep verify`: reads stored clips again and compares what comes with what
//! their rows say.
//!
//! A run over all clips goes on where an earlier one was interrupted: each clip
//! that was found right says so in its row.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::bail;
use clap::ArgGroup;
use clipkeep_core::{
    config::Config,
    id::ClipKey,
    state::ClipState,
    time::{Clock, Timestamp},
};
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{output, receipt};
use crate::{
    app,
    catalog::{self, Catalog, StoredObject, lookup::current_key},
    clock::SystemClock,
    custody,
    store::{Store, StoreError},
    sweep::drift::{NOTICE_DELAY, is_too_much},
};

/// How many clips are read at once.
const MAX_CONCURRENT: usize = 4;
const PAGE: u32 = 200;
/// How the run over all clips is called in the catalogue.
const RUN: &str = "verify";
/// What is said of a clip whose object is gone.
const MISSING: &str = "is not in the store";
/// So few may all be damaged.
const MIN_SAMPLE: usize = 2;

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("which").required(true).args(["keys", "sample", "all", "receipt"])))]
pub(super) struct Args {
    /// The keys of the clips to verify.
    keys: Vec<ClipKey>,
    /// Verify this many stored clips, chosen at random.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sample: Option<u32>,
    /// Verify all stored clips. An interrupted run is resumed.
    #[arg(long)]
    all: bool,
    /// Have damaged clips filled again from their sources by the running node,
    /// or lost if those are gone.
    #[arg(long)]
    mend: bool,
    #[command(flatten)]
    offline: receipt::Offline,
}

impl Args {
    /// Whether a receipt is checked, for which nothing else is asked.
    pub(super) const fn is_offline(&self) -> bool {
        self.offline.receipt.is_some()
    }
}

pub(super) async fn run(config: Config, args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    if let Some(file) = &args.offline.receipt {
        return receipt::run(&config, &args.offline, file, as_json);
    }
    let catalog = catalog::open::open_configured(&config).await?;
    let store = app::store_at(&config)?;
    custody::look(&*catalog, &store).await?;
    let mut run = Run {
        catalog,
        store,
        mend: args.mend,
        to_mend: Vec::new(),
        named: !args.keys.is_empty(),
        as_json,
        tally: Tally::default(),
        bar: ProgressBar::hidden(),
    };
    if args.all {
        run.all().await?;
    } else if let Some(count) = args.sample {
        let keys = run.catalog.sample(count).await?;
        run.these(&keys, false).await?;
    } else {
        let mut keys = Vec::with_capacity(args.keys.len());
        for key in &args.keys {
            keys.push(current_key(&*run.catalog, key).await?);
        }
        run.these(&keys, true).await?;
    }
    run.bar.finish_and_clear();
    run.tally.print(args.mend, as_json)?;
    Ok(if run.tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Default)]
struct Tally {
    right: u64,
    damaged: u64,
    unreadable: u64,
    not_stored: u64,
    bytes: u64,
    /// Found right by the interrupted run that this one goes on with.
    earlier: u64,
}

struct Run {
    catalog: Arc<dyn Catalog>,
    store: Store,
    mend: bool,
    /// What is to be filled again, and why: a page of it at most.
    to_mend: Vec<(StoredObject, String)>,
    /// Whether somebody named the clips.
    named: bool,
    as_json: bool,
    tally: Tally,
    bar: ProgressBar,
}

/// What reading a clip told.
enum Read {
    Right,
    Damaged(String),
    Missing,
    Unreadable(StoreError),
}

impl Run {
    async fn all(&mut self) -> anyhow::Result<()> {
        let since = self.catalog.begin_run(RUN, SystemClock.now()).await?;
        let left = self.catalog.count_unverified(since).await?;
        let counts = self.catalog.count_by_state().await?;
        let stored = counts.iter().find(|(state, _)| *state == ClipState::Stored).map_or(0, |(_, count)| *count);
        self.tally.earlier = stored.saturating_sub(left);
        self.show(left);
        let mut after = None;
        loop {
            let page = self.catalog.unverified(since, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.verified_at.unwrap_or(Timestamp::from_millis(0)), last.key.clone()));
            self.read(page, since).await?;
        }
        Ok(self.catalog.end_run(RUN).await?)
    }

    /// Reads these clips; one that is not stored is worth a word if it was
    /// `named`.
    async fn these(&mut self, keys: &[ClipKey], named: bool) -> anyhow::Result<()> {
        self.show(keys.len() as u64);
        let since = SystemClock.now();
        for keys in keys.chunks(PAGE as usize) {
            let mut page = Vec::new();
            for key in keys {
                match self.catalog.stored_object(key).await? {
                    Some(row) => page.push(row),
                    None if named => self.not_stored(key).await?,
                    None => {}
                }
            }
            self.read(page, since).await?;
        }
        Ok(())
    }

    async fn not_stored(&mut self, key: &ClipKey) -> anyhow::Result<()> {
        self.tally.not_stored += 1;
        match self.catalog.clip(key).await? {
            Some(clip) => self.report(key, &format!("is not stored but {}", clip.state)),
            None => self.report(key, "no clip has that name"),
        }
    }

    async fn read(&mut self, page: Vec<StoredObject>, since: Timestamp) -> anyhow::Result<()> {
        let store = self.store.clone();
        let reading = stream::iter(page).map(|row| {
            let store = store.clone();
            async move {
                let read = read(&store, &row).await;
                (row, read)
            }
        });
        let mut reading = reading.buffer_unordered(MAX_CONCURRENT);
        while let Some((row, read)) = reading.next().await {
            self.judge(row, read, since).await?;
        }
        drop(reading);
        self.mend_found(since).await
    }

    /// Has what was found filled again, unless it is too much to be true: before
    /// anything is changed, not after the first few.
    async fn mend_found(&mut self, since: Timestamp) -> anyhow::Result<()> {
        let found = std::mem::take(&mut self.to_mend);
        let (damaged, right) = (usize::try_from(self.tally.damaged)?, usize::try_from(self.tally.right)?);
        let nothing_left = !self.named && right == 0 && damaged > MIN_SAMPLE;
        if !found.is_empty() && (nothing_left || is_too_much(damaged, damaged + right)) {
            bail!("most clips are missing or damaged: is `store` the right one? nothing was changed for these");
        }
        if found.iter().any(|(_, what)| what == MISSING) {
            custody::take(&*self.catalog, &self.store).await?;
        }
        let at = SystemClock.now().max(since);
        for (row, what) in found {
            self.catalog.object_lost(&row.key, row.epoch, at, at.plus(NOTICE_DELAY), &what).await?;
        }
        Ok(())
    }

    async fn judge(&mut self, row: StoredObject, read: Read, since: Timestamp) -> anyhow::Result<()> {
        // A clock that was set back must not have it read again in this run.
        let at = SystemClock.now().max(since);
        match read {
            Read::Right => {
                self.catalog.verified(&row.key, row.epoch, at).await?;
                self.tally.right += 1;
                self.tally.bytes += row.size;
            }
            // Deleted or filled anew while it was read: no damage.
            Read::Damaged(_) | Read::Missing if !self.is_as_it_was(&row).await? => {}
            Read::Damaged(what) => {
                let can_mend = row.has_source;
                self.damaged(row, at, what, can_mend).await?;
            }
            Read::Missing => self.damaged(row, at, MISSING.to_owned(), true).await?,
            Read::Unreadable(denied @ StoreError::Denied { .. }) => return Err(denied.into()),
            Read::Unreadable(error) => {
                self.tally.unreadable += 1;
                self.report(&row.key, &format!("cannot be read now: {error}"))?;
            }
        }
        self.bar.inc(1);
        self.bar.set_message(self.tally.pace(self.bar.elapsed()));
        Ok(())
    }

    async fn is_as_it_was(&self, row: &StoredObject) -> anyhow::Result<bool> {
        let now = self.catalog.stored_object(&row.key).await?;
        Ok(now.is_some_and(|now| now.epoch == row.epoch))
    }

    async fn damaged(&mut self, row: StoredObject, at: Timestamp, what: String, can_mend: bool) -> anyhow::Result<()> {
        self.tally.damaged += 1;
        self.report(&row.key, &what)?;
        self.catalog.damaged(&row.key, row.epoch, at, &what).await?;
        if !self.mend {
            return Ok(());
        }
        if !can_mend {
            return self.report(&row.key, "cannot be mended: the provider wrote it here, there is no other copy");
        }
        self.to_mend.push((row, what));
        Ok(())
    }

    fn report(&self, key: &ClipKey, what: &str) -> anyhow::Result<()> {
        self.bar.suspend(|| {
            if self.as_json {
                return output::json(&json!({"key": key, "problem": what}));
            }
            output::line(format!("{key}: {what}"));
            Ok(())
        })
    }

    /// Shows how far it is, on a terminal.
    fn show(&mut self, clips: u64) {
        const LOOK: &str = "{bar:30} {pos}/{len} clips, {msg}, {eta} left";
        if !self.as_json {
            self.bar = ProgressBar::new(clips);
            self.bar.set_style(ProgressStyle::with_template(LOOK).unwrap_or_else(|_| ProgressStyle::default_bar()));
            self.bar.set_message(self.tally.pace(Duration::ZERO));
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }
}

async fn read(store: &Store, row: &StoredObject) -> Read {
    match store.hash(&row.object).await {
        Ok(found) if found.size != row.size => {
            Read::Damaged(format!("has {} bytes instead of {}", found.size, row.size))
        }
        Ok(found) if found.sha256 != row.sha256 => {
            Read::Damaged(format!("has the checksum {} instead of {}", found.sha256, row.sha256))
        }
        Ok(_) => Read::Right,
        Err(StoreError::NotFound { .. }) => Read::Missing,
        Err(error) => Read::Unreadable(error),
    }
}

impl Tally {
    const fn is_clean(&self) -> bool {
        self.damaged + self.unreadable + self.not_stored == 0
    }

    fn pace(&self, took: Duration) -> String {
        let rate = self.bytes as f64 / took.as_secs_f64().max(0.001);
        format!("{}, {}/s", output::size(self.bytes), output::size(rate as u64))
    }

    fn print(&self, mend: bool, as_json: bool) -> anyhow::Result<()> {
        let Self { right, damaged, unreadable, not_stored, bytes, earlier } = self;
        if as_json {
            return output::json(&json!({
                "right": right, "damaged": damaged, "unreadable": unreadable, "not_stored": not_stored,
                "bytes": bytes, "verified_earlier": earlier,
            }));
        }
        let mut text = format!("{right} right ({}), {damaged} damaged, {unreadable} unreadable", output::size(*bytes));
        if *not_stored > 0 {
            text.push_str(&format!(", {not_stored} not stored"));
        }
        if *earlier > 0 {
            text.push_str(&format!("; {earlier} more were found right before this run was interrupted"));
        }
        output::line(text);
        if *damaged > 0 && mend {
            output::line("hint: a running node, or `clipkeep sweep`, fills them again, if their sources live");
        } else if *damaged > 0 {
            output::line("hint: with --mend the damaged ones are filled again, if their sources live");
        }
        Ok(())
    }
}
