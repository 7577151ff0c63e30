//! Events: what endpoints did not take, to be told once more; and the newest.

use axum::{extract::State, response::Response};
use clipkeep_core::{event::Event, id::ClipKey, problem::Code};
use maud::{Markup, html};

use super::{
    Trouble,
    layout::{self, Room},
    parts::time,
    session::{Fields, Posted, Visitor, redirect},
};
use crate::{
    app::App,
    auth::Caller,
    catalog::{
        CatalogError,
        outbox::{ParkedDelivery, Replay},
    },
    web::{AppState, error::ApiError},
};

/// How many of each sort are shown, and among how many a tenant's are looked for.
const MAX_ROWS: u32 = 100;
const LOOKED_AT: u32 = 1000;

pub(super) async fn show(visitor: Visitor, State(app): State<AppState>, query: Fields) -> Result<Response, Trouble> {
    let newest = newest(&app, &visitor.caller).await?;
    let body = html! {
        h1 { "Events" }
        @if let Some(count) = query.get("replayed").and_then(|count| count.parse::<u64>().ok()) {
            p.note role="status" { (count) " events go out once more." }
        }
        @if visitor.caller == Caller::Admin {
            (endpoints(&app, &visitor).await?)
            (parked(&visitor, &app.catalog.parked_deliveries(MAX_ROWS).await?))
            (waiting(&app).await?)
        }
        section.card {
            h2 { "Newest" }
            @if newest.is_empty() { p.empty { "Nothing happened lately." } } @else {
                div.scroll tabindex="0" role="region" aria-label="Newest events" {
                    table {
                        thead { tr { th scope="col" { "When" } th scope="col" { "Type" } th scope="col" { "About" } th scope="col" { "Why" } } }
                        tbody {
                            @for event in &newest {
                                tr { td { (time(event.at)) } td { code { (event.kind) } } td { (about(event)) } td { (event.reason().unwrap_or_default()) } }
                            }
                        }
                    }
                }
            }
        }
    };
    Ok(layout::page(&visitor, Room::Events, "Events", &body))
}

/// The newest events of the caller's, newest first.
async fn newest(app: &App, caller: &Caller) -> Result<Vec<Event>, CatalogError> {
    let limit = if *caller == Caller::Admin { MAX_ROWS } else { LOOKED_AT };
    let found = app.catalog.list_events(None, None, limit).await?.into_iter().map(|(_, event)| event);
    let own = found.filter(|event| caller.may_see(event.tenant.as_ref()));
    Ok(own.rev().take(MAX_ROWS as usize).collect())
}

fn about(event: &Event) -> Markup {
    html! {
        @match &event.key {
            Some(key) => a href=(super::parts::clip_path(key)) { (key) },
            None => (event.subject()),
        }
    }
}

async fn endpoints(app: &App, visitor: &Visitor) -> Result<Markup, CatalogError> {
    let counts = app.catalog.count_deliveries().await?;
    Ok(html! {
        section.card {
            h2 { "Endpoints" }
            @if app.config.event_endpoints.is_empty() {
                p.empty { "None are configured (" code { "event_endpoints" } "). Apps may listen to " code { "GET /api/v1/events" } " instead." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Endpoints" {
                    table {
                        thead { tr { th scope="col" { "Endpoint" } th.num scope="col" { "Waiting" } th.num scope="col" { "Parked" } th scope="col" { "Oldest" } th scope="col" { span.hidden { "Act" } } } }
                        tbody {
                            @for endpoint in &app.config.event_endpoints {
                                @let count = counts.iter().find(|count| count.endpoint == endpoint.name());
                                tr {
                                    th scope="row" { (endpoint.name()) }
                                    td.num { (count.map_or(0, |count| count.waiting)) }
                                    td.num { (count.map_or(0, |count| count.parked)) }
                                    td { @if let Some(at) = count.and_then(|count| count.oldest) { (time(at)) } @else { "–" } }
                                    td {
                                        @if count.is_some_and(|count| count.parked > 0) {
                                            (replay_form(visitor, endpoint.name(), None, "Replay all parked"))
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    })
}

fn replay_form(visitor: &Visitor, endpoint: &str, key: Option<&ClipKey>, words: &str) -> Markup {
    html! {
        form method="post" action="/console/events/replay" {
            input type="hidden" name="csrf" value=(visitor.csrf);
            input type="hidden" name="endpoint" value=(endpoint);
            @if let Some(key) = key { input type="hidden" name="key" value=(key); }
            button type="submit" { (words) }
        }
    }
}

fn parked(visitor: &Visitor, parked: &[ParkedDelivery]) -> Markup {
    html! {
        section.card {
            h2 { "Parked" }
            p.quiet { "An endpoint did not take them within a day. They go out again when somebody says so." }
            @if parked.is_empty() { p.empty { "None." } } @else {
                div.scroll tabindex="0" role="region" aria-label="Parked events" {
                    table {
                        thead { tr { th scope="col" { "When" } th scope="col" { "Type" } th scope="col" { "About" } th scope="col" { "Endpoint" } th.num scope="col" { "Attempts" } th scope="col" { "Why" } th scope="col" { span.hidden { "Act" } } } }
                        tbody {
                            @for one in parked {
                                @let event = &one.delivery.event;
                                tr {
                                    td { (time(event.at)) }
                                    td { code { (event.kind) } }
                                    td { (about(event)) }
                                    td { (one.endpoint) }
                                    td.num { (one.delivery.attempts) }
                                    td { (one.why.as_deref().unwrap_or("–")) }
                                    td { @if let Some(key) = &event.key { (replay_form(visitor, &one.endpoint, Some(key), "Replay this clip's")) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

async fn waiting(app: &App) -> Result<Markup, CatalogError> {
    let waiting = app.catalog.waiting_deliveries(MAX_ROWS).await?;
    Ok(html! {
        @if !waiting.is_empty() {
            section.card {
                h2 { "Waiting" }
                div.scroll tabindex="0" role="region" aria-label="Waiting events" {
                    table {
                        thead { tr { th scope="col" { "Since" } th scope="col" { "Type" } th scope="col" { "About" } th scope="col" { "Endpoint" } th scope="col" { "Next" } th scope="col" { "Why" } } }
                        tbody {
                            @for one in &waiting {
                                @let event = &one.delivery.event;
                                tr {
                                    td { @if let Some(at) = one.delivery.first_at { (time(at)) } @else { "–" } }
                                    td { code { (event.kind) } }
                                    td { (about(event)) }
                                    td { (one.endpoint) }
                                    td { @if let Some(at) = one.next_at { (time(at)) } @else { "after an earlier one" } }
                                    td { (one.why.as_deref().unwrap_or("–")) }
                                }
                            }
                        }
                    }
                }
            }
        }
    })
}

pub(super) async fn replay(
    State(app): State<AppState>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Trouble> {
    visitor.must_be_admin()?;
    let name = fields.get("endpoint").unwrap_or_default();
    if !app.config.event_endpoints.iter().any(|endpoint| endpoint.name() == name) {
        return Err(ApiError::new(Code::NotFound, "no endpoint has that name").into());
    }
    let what = match fields.get("key").map(|key| key.parse::<ClipKey>()) {
        Some(Ok(key)) => Replay::Of(key),
        Some(Err(_)) => return Err(ApiError::new(Code::NotFound, "no clip has that name").into()),
        None => Replay::Parked,
    };
    let count = app.catalog.replay(name, &what, app.clock.now()).await?;
    Ok(redirect(&format!("/console/events?replayed={count}")))
}
