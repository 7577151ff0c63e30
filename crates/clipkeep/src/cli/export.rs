//! `clipkeep find … --export FILE`: what is found, as a file for other programs.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{output, wrong_usage};
use crate::{
    app::FinalUrls,
    atomic_file::AtomicFile,
    catalog::{Catalog, ClipFilter},
    export::{Export, Format},
};

pub(super) async fn run(
    catalog: Arc<dyn Catalog>,
    urls: FinalUrls,
    filter: ClipFilter,
    path: &Path,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let format =
        Format::of(path).ok_or_else(|| wrong_usage("--export takes a file that ends in .jsonl, .csv or .parquet"))?;
    let writing = || format!("writing {}", path.display());
    let mut draft = AtomicFile::create(path).with_context(writing)?;
    let bar = bar(&*catalog, &filter, as_json).await?;
    let mut export = Export::new(catalog, urls, filter, format);
    while let Some(piece) = export.next().await? {
        draft.write(&piece).with_context(writing)?;
        bar.set_position(export.clips);
    }
    draft.finish().with_context(writing)?;
    bar.finish_and_clear();
    if as_json {
        output::json(&json!({"export": path, "clips": export.clips}))?;
    } else {
        output::line(format!("{} in {}", output::count(export.clips, "clip"), path.display()));
    }
    Ok(if export.clips == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// How many there will be is known only where all are asked for.
async fn bar(catalog: &dyn Catalog, filter: &ClipFilter, as_json: bool) -> anyhow::Result<ProgressBar> {
    if as_json {
        return Ok(ProgressBar::hidden());
    }
    if *filter != ClipFilter::default() {
        let style = ProgressStyle::with_template("exporting  {spinner} {pos} clips  {per_sec}")?;
        let spinner = ProgressBar::new_spinner().with_style(style);
        spinner.enable_steady_tick(Duration::from_millis(100));
        return Ok(spinner);
    }
    let clips = catalog.count_by_state().await?.iter().map(|(_, clips)| clips).sum();
    let style = ProgressStyle::with_template("exporting  [{bar:32}] {pos}/{len} clips  {per_sec}  {eta} left")?;
    Ok(ProgressBar::new(clips).with_style(style.progress_chars("=> ")))
}
