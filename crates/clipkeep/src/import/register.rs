//! The first pass: good lines into the catalogue, bad ones into a file.

use std::{collections::BTreeSet, path::PathBuf};

use clipkeep_core::{generation::HookRecord, time::Timestamp};
use tokio_util::sync::CancellationToken;

use super::{
    Checked, Import, ImportError, Step, Summary, Watch,
    entry::Entry,
    known::{Known, Place, generations},
    lines::{Line, Lines},
    output::RejectsFile,
    report::{LineResult, Report},
    retry::with_retries,
};
use crate::{
    app::App,
    catalog::{Catalog, CatalogError},
};

/// What the first pass found.
pub(super) struct Registered {
    pub(super) lines: u64,
    pub(super) bad_lines: u64,
    unknown: BTreeSet<String>,
    rejects: Option<PathBuf>,
}

impl Registered {
    /// The summary before any clip was looked at.
    pub(super) fn summary(self, id: String) -> Summary {
        Summary {
            import: id,
            lines: self.lines,
            bad_lines: self.bad_lines,
            ignored_columns: self.unknown,
            rejects: self.rejects,
            ..Summary::default()
        }
    }

    /// What a dry run tells.
    fn checked(self, import: String) -> Checked {
        let Self { lines, bad_lines, unknown: ignored_columns, rejects } = self;
        let good = lines - bad_lines;
        Checked { import, lines, good, bad_lines, too_old: 0, ignored_columns, rejects, report: None }
    }
}

/// Registers every good line, in order. `None` if it was told to stop.
pub(super) async fn register(
    import: &Import,
    app: &App,
    id: &str,
    watch: Watch<'_>,
    stop: &CancellationToken,
) -> Result<Option<Registered>, ImportError> {
    let target = Target { import, app, id };
    let mut pass = Pass::new(import, watch);
    let mut lines = pass.open().await?;
    loop {
        let (rest, batch) = lines.next().await?;
        lines = rest;
        if stop.is_cancelled() {
            return Ok(None);
        }
        if batch.is_empty() {
            return pass.finish(&lines).map(Some);
        }
        let mut known = Known::load(&*app.catalog, generations(&batch)).await?;
        let (mut hooks, mut results, mut over) = (Vec::new(), Vec::new(), Vec::new());
        for line in &batch {
            let before = hooks.len();
            let refused = match &line.entry {
                Ok(entry) => {
                    over.extend(known.over(entry, &import.defaults.provider));
                    target.prepare(line.number, entry, &mut known, &mut hooks).err()
                }
                Err(refused) => Some(refused.reason.clone()),
            };
            results.push((refused, before..hooks.len()));
        }
        let taken = commit(&*app.catalog, &hooks).await?;
        if !over.is_empty() {
            let now = app.clock.now();
            with_retries(async || app.catalog.requeue(&over, now, "imported once more", false).await).await?;
        }
        if !hooks.is_empty() || !over.is_empty() {
            app.engine.wake();
        }
        for (line, (refused, own)) in batch.iter().zip(results) {
            let refused = refused.or_else(|| taken[own].iter().find_map(Clone::clone));
            pass.count(line, refused.as_deref())?;
        }
        watch(Step::Registered { bytes: lines.table.bytes_read() });
    }
}

/// Commits these together. Where somebody else took a name since it was looked
/// up, that one alone is refused: answers for each why, if it was.
async fn commit(catalog: &dyn Catalog, hooks: &[HookRecord]) -> Result<Vec<Option<String>>, CatalogError> {
    if hooks.is_empty() {
        return Ok(Vec::new());
    }
    match with_retries(async || catalog.record_hooks(hooks).await).await {
        Err(CatalogError::KeyTaken { .. }) => {}
        done => return done.map(|_| vec![None; hooks.len()]),
    }
    let mut refused = Vec::with_capacity(hooks.len());
    for hook in hooks {
        refused.push(match with_retries(async || catalog.record_hooks(std::slice::from_ref(hook)).await).await {
            Err(CatalogError::KeyTaken { provider, .. }) => {
                Some(format!("request_id: belongs to a generation of {provider}"))
            }
            done => done.map(|_| None)?,
        });
    }
    Ok(refused)
}

/// Reads every line and registers none.
pub(super) async fn check(
    import: &Import,
    id: String,
    now: Timestamp,
    watch: Watch<'_>,
    stop: &CancellationToken,
) -> Result<Option<Checked>, ImportError> {
    let mut pass = Pass::new(import, watch);
    let mut report = import.outputs.report.as_deref().map(Report::create).transpose()?;
    let (mut lines, mut too_old) = (pass.open().await?, 0);
    loop {
        let (rest, batch) = lines.next().await?;
        lines = rest;
        if stop.is_cancelled() {
            return Ok(None);
        }
        if batch.is_empty() {
            let report = report.map(Report::finish).transpose()?;
            return Ok(Some(Checked { too_old, report, ..pass.finish(&lines)?.checked(id) }));
        }
        for line in &batch {
            pass.count(line, line.entry.as_ref().err().map(|refused| refused.reason.as_str()))?;
            too_old += u64::from(line.entry.as_ref().is_ok_and(|entry| entry.is_too_old(&import.retention, now)));
            if let Some(report) = &mut report {
                report.add(
                    line.number,
                    &line.entry.as_ref().map_or_else(|bad| LineResult::bad(bad.clone()), LineResult::good),
                )?;
            }
        }
        watch(Step::Registered { bytes: lines.table.bytes_read() });
    }
}

/// Where good lines go.
struct Target<'a> {
    import: &'a Import,
    app: &'a App,
    id: &'a str,
}

impl Target<'_> {
    /// Adds what is to be committed for a good line; or says why it is none
    /// after all.
    fn prepare(
        &self,
        number: u64,
        entry: &Entry,
        known: &mut Known,
        hooks: &mut Vec<HookRecord>,
    ) -> Result<(), String> {
        let (provider, now) = (&self.import.defaults.provider, self.app.clock.now());
        match known.place(&entry.request_id, &entry.url, provider) {
            Place::Refused(reason) => return Err(reason),
            // An earlier line's, or this one's from an earlier run.
            Place::Known { slot } if Import::is_own(self.id, &slot) => {}
            // Known otherwise: it still may learn its prompt.
            Place::Known { .. } => hooks.push(entry.record(provider, None, now)),
            Place::New { index } => {
                let clip = entry.clip(index, Import::slot(self.id, number));
                known.add(&entry.request_id, &self.import.defaults, &clip, now);
                hooks.push(entry.record(provider, Some(clip), now));
            }
        }
        Ok(())
    }
}

/// What is counted and written down on the way.
struct Pass<'a> {
    import: &'a Import,
    watch: Watch<'a>,
    rejects: Option<RejectsFile>,
    lines: u64,
    bad_lines: u64,
}

impl<'a> Pass<'a> {
    fn new(import: &'a Import, watch: Watch<'a>) -> Self {
        Self { import, watch, rejects: None, lines: 0, bad_lines: 0 }
    }

    async fn open(&mut self) -> Result<Lines, ImportError> {
        let lines = Lines::open(self.import).await?;
        self.rejects = Some(RejectsFile::of(&self.import.outputs.rejects, &lines.table.shape));
        Ok(lines)
    }

    fn count(&mut self, line: &Line, refused: Option<&str>) -> Result<(), ImportError> {
        self.lines += 1;
        let Some(reason) = refused else { return Ok(()) };
        self.bad_lines += 1;
        (self.watch)(Step::Bad { line: line.number, reason });
        match &mut self.rejects {
            Some(rejects) => rejects.add(line.number, reason, &line.original),
            None => Ok(()),
        }
    }

    fn finish(self, lines: &Lines) -> Result<Registered, ImportError> {
        let rejects = self.rejects.map_or(Ok(None), RejectsFile::finish)?;
        let unknown = lines.table.unknown().clone();
        Ok(Registered { lines: self.lines, bad_lines: self.bad_lines, unknown, rejects })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{group::tests::hook, sqlite::SqliteCatalog};

    #[tokio::test]
    async fn a_name_that_was_taken_meanwhile_refuses_its_own_line_alone() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqliteCatalog::open(&folder.path().join("clipkeep.db"), Default::default()).await.unwrap();
        // Between the look and the commit a webhook came.
        catalog.record_hooks(&[hook("replicate", "b")]).await.unwrap();
        let refused = commit(&catalog, &[hook("fal", "a"), hook("fal", "b"), hook("fal", "c")]).await.unwrap();
        let why = "request_id: belongs to a generation of replicate".to_owned();
        assert_eq!(refused, [None, Some(why), None]);
        for (id, whose) in [("a", "fal"), ("b", "replicate"), ("c", "fal")] {
            let kept = catalog.clip(&format!("{id}.mp4").parse().unwrap()).await.unwrap().unwrap();
            assert_eq!(kept.provider.as_str(), whose);
        }
    }
}
