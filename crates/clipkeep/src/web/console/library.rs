//! The library: a wall of posters, found by words, model, tenant, state and time.
//! What is looked for stands in the address, so a view can be sent to somebody.

use axum::{extract::State, response::Response};
use clipkeep_core::{generation::Clip, id::ClipKey, state::ClipState};
use maud::{Markup, html};
use url::form_urlencoded;

use super::{
    Trouble,
    layout::{self, Room},
    parts::{no_words, tiles},
    session::{Fields, Visitor},
};
use crate::{
    app::App,
    auth::Caller,
    web::{
        AppState,
        api::query::{ClipQuery, write_cursor},
        error::ApiError,
    },
};

/// How many clips a page of the wall has.
const PAGE: u32 = 60;

/// What is looked for, by the names that the address has for it.
const NAMES: [&str; 6] = ["q", "model", "tenant", "state", "after", "before"];

pub(super) async fn show(visitor: Visitor, State(app): State<AppState>, query: Fields) -> Result<Response, Trouble> {
    let found = match find(&app, &visitor.caller, &query).await {
        Ok(found) => found,
        Err(error) if error.code().status().is_client_error() => {
            Found { wrong: Some(in_words(error.detail())), ..Found::default() }
        }
        Err(error) => return Err(error.into()),
    };
    let wall = wall(&app, &query, &found);
    if query.get("partial").is_some() {
        return Ok(layout::fragment(&wall));
    }
    let body = html! {
        div.head {
            h1 { "Library" }
            (search(&visitor, &query))
        }
        @if let (Some(why), true) = (no_words(&app.config), query.get("q").is_some()) {
            p.note { (why) }
        }
        div #wall aria-live="polite" { (wall) }
    };
    Ok(layout::page(&visitor, Room::Library, "Library", &body))
}

#[derive(Default)]
struct Found {
    clips: Vec<Clip>,
    next: Option<String>,
    /// What of the question is not understood.
    wrong: Option<String>,
}

async fn find(app: &App, caller: &Caller, query: &Fields) -> Result<Found, ApiError> {
    let text = |name: &str| query.get(name).map(str::to_owned);
    // Who pastes a name means that clip.
    if let Some(key) = query.get("q").and_then(|q| q.parse::<ClipKey>().ok())
        && let Some(clip) = app.catalog.clip(&key).await?.filter(|clip| caller.may_see_clip(clip))
    {
        return Ok(Found { clips: vec![clip], ..Found::default() });
    }
    let page = ClipQuery {
        words: text("q"),
        model: text("model"),
        tenant: text("tenant"),
        state: text("state"),
        created_after: text("after"),
        created_before: query.until("before"),
        cursor: text("cursor"),
        limit: Some(PAGE),
        ..ClipQuery::default()
    };
    let mut page = page.read()?;
    if !caller.restrict(&mut page.filter.tenant) {
        return Ok(Found::default());
    }
    let found = app.catalog.clips(&page.filter, page.after.as_ref(), page.limit).await?;
    Ok(Found { clips: found.clips, next: found.next.as_ref().map(write_cursor), wrong: None })
}

/// What is wrong, by the names that the form has.
fn in_words(detail: &str) -> String {
    detail.replace("created_before", "Until").replace("created_after", "From")
}

fn search(visitor: &Visitor, query: &Fields) -> Markup {
    let value = |name: &str| query.get(name).unwrap_or_default().to_owned();
    let narrowed = NAMES.iter().skip(1).any(|name| query.get(name).is_some());
    html! {
        form.search #search role="search" method="get" action="/" {
            label.hidden for="q" { "Words of the prompt" }
            input #q type="search" name="q" value=(value("q")) placeholder="Words of the prompt, or a clip's name"
                autocomplete="off" spellcheck="false" aria-keyshortcuts="/";
            details open[narrowed] {
                summary { "Filter" }
                div.filters {
                    label { "Model" input name="model" value=(value("model")) autocomplete="off"; }
                    @if visitor.caller == Caller::Admin {
                        label { "Tenant" input name="tenant" value=(value("tenant")) autocomplete="off"; }
                    }
                    label {
                        "State"
                        select name="state" {
                            option value="" { "any" }
                            @for state in ClipState::ALL {
                                option value=(state) selected[query.get("state") == Some(state.as_str())] { (state) }
                            }
                        }
                    }
                    label { "From" input type="date" name="after" value=(value("after")); }
                    label { "Until" input type="date" name="before" value=(value("before")); }
                }
            }
            button type="submit" { "Search" }
        }
    }
}

fn wall(app: &App, query: &Fields, found: &Found) -> Markup {
    let more = found.next.as_ref().map(|cursor| {
        let mut address = form_urlencoded::Serializer::new(String::new());
        for name in NAMES {
            query.get(name).map(|value| address.append_pair(name, value));
        }
        format!("/?{}", address.append_pair("cursor", cursor).finish())
    });
    html! {
        @if let Some(wrong) = &found.wrong {
            p.bad role="alert" { (wrong) }
        } @else if found.clips.is_empty() {
            p.empty { "No clips here. " @if NAMES.iter().any(|name| query.get(name).is_some()) { a href="/" { "Show all" } } }
        } @else {
            ul.wall { (tiles(app, &found.clips, 0)) }
        }
        @if let Some(more) = more {
            p.more { a rel="next" href=(more) { "Older clips" } }
        }
    }
}
