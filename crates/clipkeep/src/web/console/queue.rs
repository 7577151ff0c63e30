//! The queue: what runs out of time, what is being filled, what fails and why.

use axum::{extract::State, response::Response};
use clipkeep_core::{generation::Clip, human, state::ClipState, time::Timestamp};
use maud::{Markup, html};

use super::{
    Trouble,
    layout::{self, Room},
    parts::{clip_path, state, time, title},
    session::{Fields, Visitor},
};
use crate::{
    app::App,
    auth::Caller,
    catalog::{CatalogError, ClipFilter},
    web::AppState,
};

/// How many of each sort are shown.
const MAX_ROWS: u32 = 50;

pub(super) async fn show(visitor: Visitor, State(app): State<AppState>, query: Fields) -> Result<Response, Trouble> {
    let (now, caller) = (app.clock.now(), &visitor.caller);
    let until = now.plus(app.config.at_risk_before);
    let at_risk = match caller.tenant() {
        None => app.catalog.at_risk(until, MAX_ROWS).await?,
        Some(tenant) => app.catalog.own_at_risk(tenant, until, MAX_ROWS).await?,
    };
    let waiting = in_state(&app, caller, ClipState::Waiting).await?;
    let failing = app.catalog.failing(caller.tenant(), MAX_ROWS).await?;
    let fresh: Vec<&Clip> = waiting.iter().filter(|clip| clip.last_error.is_none()).collect();
    let over =
        [in_state(&app, caller, ClipState::Lost).await?, in_state(&app, caller, ClipState::Rejected).await?].concat();
    let body = html! {
        h1 { "Queue" }
        @if let Some(note) = query.get("done").and_then(filled) {
            p.note role="status" { (note) }
        }
        section.card {
            h2 { "At risk" }
            p.quiet { "Their only copy is the provider's, which is expected to vanish within " (human::span(app.config.at_risk_before)) "." }
            (table(&visitor, "At risk", &at_risk.iter().collect::<Vec<_>>(), "Nothing is at risk.", &|clip| left(clip, now)))
        }
        section.card {
            h2 { "Filling" }
            div #live data-live="/console/queue/live" aria-live="polite" { (filling(&app, caller).await?) }
        }
        section.card {
            h2 { "Failing" }
            (table(&visitor, "Failing", &failing.iter().collect::<Vec<_>>(), "Nothing fails.", &|clip| reason(clip)))
        }
        section.card {
            h2 { "Waiting" }
            (table(&visitor, "Waiting", &fresh, "Nothing waits.", &|clip| due(clip)))
        }
        section.card {
            h2 { "Lost and rejected" }
            (table(&visitor, "Lost and rejected", &over.iter().collect::<Vec<_>>(), "None.", &|clip| reason(clip)))
        }
    };
    Ok(layout::page(&visitor, Room::Queue, "Queue", &body))
}

/// What came of «Try now».
pub(super) fn filled(done: &str) -> Option<&'static str> {
    match done {
        "filled" => Some("Its fill was started, or is running."),
        "nothing" => Some("Nothing was done: it is stored or deleted already."),
        _ => None,
    }
}

/// The newest clips of the caller's in this state.
async fn in_state(app: &App, caller: &Caller, state: ClipState) -> Result<Vec<Clip>, CatalogError> {
    let filter = ClipFilter { state: Some(state), tenant: caller.tenant().cloned(), ..ClipFilter::default() };
    Ok(app.catalog.clips(&filter, None, MAX_ROWS).await?.clips)
}

/// What is being filled now, and how far it is.
pub(super) async fn filling(app: &App, caller: &Caller) -> Result<Markup, CatalogError> {
    let clips = in_state(app, caller, ClipState::Filling).await?;
    Ok(html! {
        @if clips.is_empty() {
            p.empty { "Nothing is being filled." }
        } @else {
            ul.fills {
                @for clip in &clips {
                    li {
                        a href=(clip_path(&clip.key)) { (title(clip)) }
                        (progress(app, clip))
                    }
                }
            }
        }
    })
}

fn progress(app: &App, clip: &Clip) -> Markup {
    let here = app.engine.find(&clip.key).and_then(|fill| fill.progress());
    html! {
        @match here {
            Some(progress) => {
                @if let Some(total) = progress.total {
                    progress max=(total) value=(progress.have) aria-label={ "Progress of " (clip.key) } {}
                    span.num { (human::size(progress.have)) " of " (human::size(total)) }
                } @else {
                    progress aria-label={ "Progress of " (clip.key) } {}
                    span.num { (human::size(progress.have)) " so far" }
                }
            }
            None => span.quiet { "on another node, attempt " (clip.attempts) },
        }
    }
}

fn left(clip: &Clip, now: Timestamp) -> Markup {
    html! {
        @match clip.source_expires_at {
            Some(at) if at > now => { b { (human::span(at.since(now))) " left" } ", until " (time(at)) }
            Some(at) => { b.bad { "over since " } (time(at)) }
            None => "–",
        }
    }
}

fn reason(clip: &Clip) -> Markup {
    html! {
        (clip.last_error.as_deref().unwrap_or("no reason is known"))
        @if let Some(at) = clip.due_at { span.quiet { " · again " (time(at)) } }
    }
}

fn due(clip: &Clip) -> Markup {
    html! {
        @match clip.due_at {
            Some(at) => { "due " (time(at)) }
            None => "for its first viewer",
        }
    }
}

fn table(visitor: &Visitor, name: &str, clips: &[&Clip], none: &str, why: &dyn Fn(&Clip) -> Markup) -> Markup {
    html! {
        @if clips.is_empty() {
            p.empty { (none) }
        } @else {
            div.scroll tabindex="0" role="region" aria-label=(name) {
                table {
                    thead { tr { th scope="col" { "Clip" } th scope="col" { "State" } th scope="col" { "Why" } th.num scope="col" { "Attempts" } th scope="col" { span.hidden { "Act" } } } }
                    tbody {
                        @for clip in clips {
                            tr {
                                th scope="row" { a href=(clip_path(&clip.key)) { (title(clip)) } }
                                td { (state(clip.state)) }
                                td { (why(clip)) }
                                td.num { (clip.attempts) }
                                td {
                                    form method="post" action={ (clip_path(&clip.key)) "/fill" } {
                                        input type="hidden" name="csrf" value=(visitor.csrf);
                                        input type="hidden" name="from" value="queue";
                                        button type="submit" aria-label={ "Try now: " (clip.key) } { "Try now" }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            @if clips.len() >= MAX_ROWS as usize { p.quiet { "These are the first " (MAX_ROWS) "; there may be more." } }
        }
    }
}
