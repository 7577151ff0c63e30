//! `clipkeep find`: from prompt to clips and from clip to prompt.

use std::{path::PathBuf, process::ExitCode};

use clipkeep_core::{
    config::{Config, Prompts},
    generation::Clip,
    id::{ClipKey, RequestId, Tenant},
    prompt::prompt_hash,
    search::Words,
    seed::Seed,
    state::ClipState,
    usage::Moment,
};
use serde_json::json;

use super::{duplicates, export, output, tree, unread, wrong_usage};
use crate::{
    app::FinalUrls,
    catalog::{self, Catalog, ClipFilter, ClipPage, lookup::clip_by_any_key},
    web::ClipRow,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A clip key, or a provider's request id. Without it, all clips are searched.
    what: Option<String>,
    /// Only clips with exactly this prompt (after NFC and trimming).
    #[arg(long)]
    prompt: Option<String>,
    /// Only clips with this prompt hash.
    #[arg(long)]
    prompt_hash: Option<String>,
    /// Only clips whose prompt contains all these words, in any order and case.
    #[arg(long)]
    words: Option<Words>,
    /// Only clips of exactly this model.
    #[arg(long)]
    model: Option<String>,
    /// Only clips of this tenant.
    #[arg(long)]
    tenant: Option<Tenant>,
    /// Only clips in this state.
    #[arg(long)]
    state: Option<ClipState>,
    /// Only clips made with this seed.
    #[arg(long, allow_negative_numbers = true)]
    seed: Option<Seed>,
    /// Only clips that carry a C2PA manifest (signed provenance).
    #[arg(long, conflicts_with = "unmarked")]
    marked: bool,
    /// Only clips that were inspected and carry no C2PA manifest.
    #[arg(long)]
    unmarked: bool,
    /// Only clips created at or after this time (2026-01-31T12:00:00Z, 2026-01-31 or 2026-01; UTC).
    #[arg(long, value_name = "TIME")]
    created_after: Option<Moment>,
    /// Only clips created before this time.
    #[arg(long, value_name = "TIME")]
    created_before: Option<Moment>,
    /// Show the clip's lineage as a tree: what it was made from, and what was made from it.
    #[arg(long, conflicts_with_all = ["export", "words", "prompt", "prompt_hash"])]
    tree: bool,
    /// Write all clips that are found to this file, regardless of `--limit`, as
    /// .jsonl, .csv or .parquet.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// List duplicates instead: equal bytes that one tenant stored more than once,
    /// newest first. Only `--tenant` and `--limit` may be combined with it.
    #[arg(long, conflicts_with_all = ["what", "prompt", "prompt_hash", "model", "state", "words", "seed", "marked", "unmarked", "tree", "export"])]
    duplicates: bool,
    /// List results that could not be parsed instead, oldest first; with a request
    /// id, print that result as it was received. Only `--tenant` and `--limit` may
    /// be combined with it.
    #[arg(long, conflicts_with_all = ["prompt", "prompt_hash", "model", "state", "words", "seed", "marked", "unmarked", "tree", "export", "duplicates"])]
    unreadable: bool,
    /// Print at most this many results.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub(super) async fn run(config: Config, args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    output::in_order("--created-after", args.created_after, "--created-before", args.created_before)?;
    let catalog = catalog::open::open_configured(&config).await?;
    if args.duplicates {
        return duplicates::run(&*catalog, args.tenant.as_ref(), args.limit, as_json).await;
    }
    if args.unreadable {
        return unread::run(&*catalog, args.what.as_deref(), args.tenant.as_ref(), args.limit, as_json).await;
    }
    let urls = FinalUrls::new(&config);
    if args.tree {
        return tree::run(&*catalog, args.what.as_deref(), &urls, as_json).await;
    }
    if args.words.is_some() && config.prompts == Prompts::HashOnly {
        output::note("prompts are kept as hashes only now (`prompts`): only older ones can be found by their words");
    }
    let filter = args.filter(&*catalog).await?;
    if let Some(path) = &args.export {
        return export::run(catalog, urls, filter, path, as_json).await;
    }
    let ClipPage { clips, next } = catalog.clips(&filter, None, args.limit).await?;
    let code = if clips.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if as_json {
        let rows: Vec<ClipRow> = clips.into_iter().map(|clip| ClipRow::new(clip, &urls)).collect();
        let mut found = json!({"clips": rows});
        if next.is_some() {
            found["is_cut"] = true.into();
        }
        output::json(&found)?;
    } else if clips.is_empty() {
        output::line("no clip found");
    } else {
        print_rows(&clips);
        if next.is_some() {
            output::note(format!("there are more than these {}: see --limit and --export", clips.len()));
        }
    }
    Ok(code)
}

impl Args {
    /// What all flags say.
    fn narrowed(&self) -> ClipFilter {
        ClipFilter {
            key: None,
            request_id: None,
            model: self.model.clone(),
            prompt_hash: self.prompt.as_deref().map(prompt_hash).or_else(|| self.prompt_hash.clone()),
            tenant: self.tenant.clone(),
            state: self.state,
            seed: self.seed,
            c2pa: (self.marked || self.unmarked).then_some(self.marked),
            words: self.words.clone(),
            created_after: self.created_after.map(|moment| moment.0),
            created_before: self.created_before.map(|moment| moment.0),
        }
    }

    /// The same of what is named: a clip, if there is one of that name, or else a
    /// generation.
    async fn filter(&self, catalog: &dyn Catalog) -> anyhow::Result<ClipFilter> {
        let filter = self.narrowed();
        let Some(text) = self.what.as_deref() else { return Ok(filter) };
        if let Ok(key) = text.parse::<ClipKey>()
            && let Some(clip) = clip_by_any_key(catalog, &key).await?
        {
            return Ok(ClipFilter { key: Some(clip.key), ..filter });
        }
        let request_id =
            text.parse::<RequestId>().map_err(|_| wrong_usage("this is neither a clip key nor a request id"))?;
        Ok(ClipFilter { request_id: Some(request_id), ..filter })
    }
}

fn print_rows(clips: &[Clip]) {
    let row = |clip: &Clip| {
        let sealed = clip.sealed.as_ref();
        let dash = || "-".to_owned();
        vec![
            clip.key.to_string(),
            clip.state.to_string(),
            clip.facts.model.clone().unwrap_or_else(dash),
            sealed.and_then(|s| s.media.duration).map_or_else(dash, |secs| format!("{secs:.2} s")),
            sealed.map_or_else(dash, |s| output::size(s.size)),
            clip.created_at.to_string(),
            clip.facts.prompt.as_deref().map_or_else(dash, |prompt| output::shorten(prompt, 60)),
        ]
    };
    let rows: Vec<Vec<String>> = clips.iter().map(row).collect();
    output::table(&["KEY", "STATE", "MODEL", "DURATION", "SIZE", "CREATED", "PROMPT"], &rows);
}
