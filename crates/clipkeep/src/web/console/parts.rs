//! Pieces that several rooms show.

use clipkeep_core::{
    config::{Config, Prompts},
    generation::{Clip, Kind, Poster},
    id::ClipKey,
    link::LinkTarget,
    state::ClipState,
    time::Timestamp,
};
use maud::{Markup, html};

use crate::{app::App, auth::Caller, web::error::ApiError};

/// A moment: UTC as it stands here, in the reader's zone once a script runs.
pub(super) fn time(at: Timestamp) -> Markup {
    let text = at.to_string();
    let short = text.get(..16).map_or_else(|| text.clone(), |start| format!("{} UTC", start.replace('T', " ")));
    html! { time datetime=(text) title={ (short) } { (short) } }
}

/// The same for a text that holds one.
pub(super) fn time_of(text: Option<&str>) -> Markup {
    match text.and_then(|text| text.parse().ok()) {
        Some(at) => time(at),
        None => html! { "–" },
    }
}

/// A state, in words and colour.
pub(super) fn state(state: ClipState) -> Markup {
    html! { span class={ "state " (state) } { (state) } }
}

/// A button that copies a text, for who has scripts.
pub(super) fn copy(what: &str, text: &str) -> Markup {
    html! { button.copy type="button" data-copy=(text) aria-label={ "Copy " (what) } hidden { "Copy" } }
}

/// The page of a clip.
pub(super) fn clip_path(key: &ClipKey) -> String {
    format!("/console/clips/{key}")
}

/// A signed path to something of a clip, as long as links last; it repeats within
/// a link window, so browsers keep what they fetched. None if nothing can sign.
pub(super) fn signed(app: &App, target: LinkTarget, clip: &Clip) -> Option<String> {
    let link = app.sign_link(target, (&clip.key, clip.link_generation), app.config.link_ttl, None).ok()?;
    link.url.strip_prefix(app.config.public_url.as_str()).map(str::to_owned)
}

/// A clip in few words: its prompt's first ones, or else its name.
pub(super) fn title(clip: &Clip) -> String {
    const MAX_TITLE: usize = 160;
    let Some(prompt) = &clip.facts.prompt else { return clip.key.to_string() };
    match prompt.char_indices().nth(MAX_TITLE) {
        Some((end, _)) => format!("{}…", prompt[..end].trim_end()),
        None => prompt.clone(),
    }
}

/// A clip's still in a frame of its own, or what stands for it; `first` ones are
/// fetched at once.
pub(super) fn still(app: &App, clip: &Clip, first: bool) -> Markup {
    let kind = clip.sealed.as_ref().map_or(clip.kind, |sealed| sealed.media.kind);
    let thumbhash = match &clip.poster {
        Poster::Made { thumbhash } => Some(thumbhash.as_str()),
        Poster::Untried | Poster::None => None,
    };
    let poster = thumbhash.and_then(|_| signed(app, LinkTarget::Poster, clip));
    let plays = kind == Kind::Video && clip.state == ClipState::Stored;
    let video = if plays { signed(app, LinkTarget::Clip, clip) } else { None };
    html! {
        span.still data-thumbhash=[thumbhash] data-video=[video] {
            @match poster {
                Some(poster) => img src=(poster) alt="" width="640" height="360" decoding="async"
                    loading=(if first { "eager" } else { "lazy" });,
                None => span.kind aria-hidden="true" { (kind.as_str()) },
            }
        }
    }
}

/// The clips of a wall.
pub(super) fn tiles(app: &App, clips: &[Clip], from: usize) -> Markup {
    html! {
        @for (at, clip) in clips.iter().enumerate() {
            li.tile {
                a href=(clip_path(&clip.key)) {
                    (still(app, clip, from + at < 12))
                    span.words { (title(clip)) }
                }
                p.facts {
                    (state(clip.state))
                    span.model { (clip.facts.model.as_deref().unwrap_or("unknown model")) }
                    (time(clip.created_at))
                }
            }
        }
    }
}

/// Why words find nothing, where that is so.
pub(super) fn no_words(config: &Config) -> Option<&'static str> {
    (config.prompts == Prompts::HashOnly)
        .then_some("Only hashes of prompts are kept here, so no words are found in them.")
}

/// What a form asked for, or why that is not understood.
pub(super) fn error_as_alert(shown: Result<Markup, ApiError>) -> Result<Markup, ApiError> {
    match shown {
        Err(error) if error.code().status().is_client_error() => Ok(html! { p.bad role="alert" { (error.detail()) } }),
        shown => shown,
    }
}

/// Whether a row's source may be shown.
pub(super) fn shows_source(caller: &Caller) -> bool {
    *caller == Caller::Admin
}
