//! `clipkeep explain KEY`: the story of one clip, in plain words.

use std::process::ExitCode;

use anyhow::Context;
use clipkeep_core::{
    config::Config,
    generation::{Clip, Generation, HistoryEntry},
    history,
    id::{ClipKey, RequestId},
    state::{ClipState, GenerationStatus},
    time::{Clock, Timestamp},
};
use serde::Serialize;
use serde_json::json;

use super::{output, wrong_usage};
use crate::{
    app::FinalUrls,
    catalog::{self, Catalog, ClipFilter, lookup::clip_by_any_key, page::collect_clips},
    clock::SystemClock,
    web::{ClipRow, HistoryRow},
};

/// The most clips that one generation can have.
const MAX_CLIPS: u32 = 1000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A clip key, or a provider's request id for all clips of that generation.
    what: String,
}

/// One clip's story.
struct Story {
    clip: Clip,
    history: Vec<HistoryEntry>,
    shares: u64,
    next: String,
}

#[derive(Serialize)]
struct StoryRow {
    #[serde(flatten)]
    row: ClipRow,
    /// How many other clips are served by the same object.
    shares: u64,
    history: Vec<HistoryRow>,
    next: String,
}

pub(super) async fn run(config: Config, args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let catalog = catalog::open::open_configured(&config).await?;
    let (urls, now) = (FinalUrls::new(&config), SystemClock.now());
    let clips = find(&*catalog, &args.what).await?;
    if clips.is_empty() {
        return without_clips(&*catalog, &args.what, as_json).await;
    }
    let unreadable = unreadable(&*catalog, &clips[0]).await?;
    let mut stories = Vec::new();
    for clip in clips {
        stories.push(story(&*catalog, clip, &urls, now).await?);
    }
    if as_json {
        let rows: Vec<_> = stories.into_iter().map(|story| story.into_row(&urls)).collect();
        output::json(&json!({"clips": rows, "unreadable": unreadable}))?;
        return Ok(ExitCode::SUCCESS);
    }
    for (number, story) in stories.iter().enumerate() {
        if number > 0 {
            output::line("");
        }
        story.print();
    }
    if let Some(why) = unreadable {
        output::line(format!("\nnot all of its generation's result is understood: {}", output::shorten(&why, 200)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Why the result of a clip's generation is not understood as a whole, if so.
async fn unreadable(catalog: &dyn Catalog, clip: &Clip) -> anyhow::Result<Option<String>> {
    let generation = catalog.generation(&clip.request_id).await?;
    let unreadable = generation.filter(|generation| generation.status == GenerationStatus::Unreadable);
    Ok(unreadable.map(|generation| generation.error.unwrap_or_default()))
}

async fn find(catalog: &dyn Catalog, what: &str) -> anyhow::Result<Vec<Clip>> {
    if let Ok(key) = what.parse::<ClipKey>()
        && let Some(clip) = clip_by_any_key(catalog, &key).await?
    {
        return Ok(vec![clip]);
    }
    let Ok(request_id) = what.parse::<RequestId>() else {
        return Err(wrong_usage(format!("{what:?} is neither a clip key nor a request id")));
    };
    let filter = ClipFilter { request_id: Some(request_id), ..ClipFilter::default() };
    let mut clips = collect_clips(catalog, &filter, MAX_CLIPS).await?;
    clips.sort_by_key(|clip| clip.index);
    Ok(clips)
}

async fn story(catalog: &dyn Catalog, clip: Clip, urls: &FinalUrls, now: Timestamp) -> anyhow::Result<Story> {
    let history = catalog.history(&clip.key).await?;
    let holder = catalog.lease_holder(&clip.key).await?;
    let held = holder.as_ref().map(|holder| (holder.node.as_str(), holder.until));
    let next = history::next(&clip, history.last(), held, &urls.of(&clip.key), now);
    let shares = catalog.sharers(&clip.key).await?;
    Ok(Story { clip, history, shares, next })
}

impl Story {
    fn into_row(self, urls: &FinalUrls) -> StoryRow {
        let history = self.history.into_iter().map(HistoryRow::from).collect();
        StoryRow { row: ClipRow::new(self.clip, urls), shares: self.shares, history, next: self.next }
    }

    fn print(&self) {
        output::line(heading(&self.clip));
        output::line(origin(&self.clip));
        if self.shares > 0 {
            output::line(format!("its object serves {} with the same bytes", output::count(self.shares, "other clip")));
        }
        output::line("");
        let mut before: Option<Timestamp> = None;
        for entry in &self.history {
            let since = before.map_or_else(String::new, |before| format!("+{}", output::span(entry.at.since(before))));
            before = Some(entry.at);
            let sentence = output::shorten(&history::describe(entry), 200);
            output::line(format!("{}  {since:>12}  {sentence}", entry.at));
        }
        output::line("");
        output::line(format!("next: {}", self.next));
    }
}

fn heading(clip: &Clip) -> String {
    let mut facts = Vec::new();
    if let Some(sealed) = clip.sealed.as_ref().filter(|_| clip.state == ClipState::Stored) {
        let media = &sealed.media;
        facts.extend([output::size(sealed.size), media.content_type.clone()]);
        facts.extend(media.width.zip(media.height).map(|(width, height)| format!("{width}x{height}")));
        facts.extend(media.duration.map(|secs| format!("{secs:.2} s")));
    } else {
        facts.extend([clip.content_type.clone(), clip.policy.to_string(), format!("attempts: {}", clip.attempts)]);
    }
    format!("{} is {}: {}", clip.key, clip.state, facts.join(", "))
}

fn origin(clip: &Clip) -> String {
    let facts = [
        Some(format!("generation {} of {}", clip.request_id, clip.provider)),
        clip.facts.model.as_ref().map(|model| format!("model {}", output::shorten(model, 80))),
        clip.facts.tenant.as_ref().map(|tenant| format!("tenant {tenant}")),
        clip.facts.prompt.as_ref().map(|prompt| format!("prompt «{}»", output::shorten(prompt, 60))),
    ];
    facts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A generation that has no clip has a story too, if a short one.
async fn without_clips(catalog: &dyn Catalog, what: &str, as_json: bool) -> anyhow::Result<ExitCode> {
    let request_id: RequestId = what.parse().context("no clip has that key")?;
    let generation = catalog.generation(&request_id).await?;
    if as_json {
        output::json(&json!({"clips": [], "status": generation.as_ref().map(|generation| generation.status)}))?;
    } else {
        output::line(generation.as_ref().map_or_else(|| format!("nothing is known of {what}"), no_clip));
    }
    Ok(if generation.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn no_clip(generation: &Generation) -> String {
    let Generation { request_id, status, created_at, error, .. } = generation;
    let means = match status {
        GenerationStatus::Pending => "no word from the provider yet".to_owned(),
        GenerationStatus::Completed => "the provider's result held no clip".to_owned(),
        GenerationStatus::ResultMissing => "the provider finished it, but sent no result".to_owned(),
        GenerationStatus::Unreadable => format!(
            "its result is not understood: {}; it is kept as it came (`clipkeep find --unreadable`), and a later \
             version may read it (`clipkeep sweep --reread`)",
            output::shorten(error.as_deref().unwrap_or("nobody knows why"), 200)
        ),
        GenerationStatus::Failed => {
            format!("the provider says: {}", output::shorten(error.as_deref().unwrap_or("nothing more"), 200))
        }
    };
    format!("generation {request_id} is {status} and has no clip; known since {created_at}; {means}")
}
