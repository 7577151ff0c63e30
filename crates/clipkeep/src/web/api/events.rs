//! Events as a stream (server-sent events).

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use clipkeep_core::{
    event::{Event, Position, PositionError},
    event_id,
    id::Tenant,
    link::{Audience, LinkKeys},
    problem::Code,
};
use futures_util::stream;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;
use tokio::sync::watch;
use utoipa::IntoParams;

use crate::{
    app::App,
    auth::Caller,
    catalog::CatalogError,
    outbox,
    shares::Share,
    web::{
        AppState,
        auth::{self, Authenticated, Schemes},
        error::ApiError,
    },
};

/// How often a silent stream shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How many events are read at once.
const BATCH: u32 = 50;
/// The same where most of them are others'.
const BATCH_OF_OWN: u32 = 200;
/// How soon a client whose stream broke shall come again, in milliseconds.
const RECONNECT_MILLIS: u32 = 2000;

/// Where the stream starts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventQuery {
    /// After the event with this id; for clients that cannot send `Last-Event-ID`.
    after: Option<String>,
}

/// Streams what happens: `clip.stored`, `clip.lost`, `clip.rejected`,
/// `clip.at_risk`, `clip.deleted`, `generation.failed`, `generation.unreadable`, `budget.exceeded`. A client that comes
/// again with `Last-Event-ID` misses nothing; without it the stream starts now.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(EventQuery,
    ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen")),
    security(("token" = [])),
    responses((status = 200, description = "Events, as they happen", content_type = "text/event-stream", body = String),
        (status = 400, description = "No such id"), (status = 401, description = "No valid token"),
        (status = 409, description = "The id was never given: the database is not the one that it came from"),
        (status = 503, description = "Too many streams on this node")))]
pub(crate) async fn stream_events(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    headers: HeaderMap,
    query: Result<Query<EventQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|error| ApiError::new(Code::InvalidRequest, error.body_text()))?;
    let last_seen = headers.get("last-event-id").map(|id| id.to_str().unwrap_or("?").to_owned());
    let given = last_seen.filter(|id| !id.is_empty()).or(query.after);
    let ids = Ids { app: Arc::clone(&app), tenant: caller.tenant().cloned() };
    let given = given.map(|id| ids.read(&id)).transpose()?;
    let full = || ApiError::new(Code::Unavailable, "too many streams: close one, or ask another node").retry_after(5);
    let place = app.event_stream.enter(caller.tenant()).ok_or_else(full)?;
    let after = match given {
        Some((position, _)) if app.catalog.is_reached(position).await? => position,
        // It would be silent for ever.
        Some((_, id)) => return Err(never_given(&id)),
        None => app.catalog.last_event().await?,
    };
    // The id alone: who breaks off before the first event can go on from here.
    let hello = format!("retry: {RECONNECT_MILLIS}\nid: {}\n\n", ids.of_none(after));
    let listener = Listener {
        heard: app.event_stream.listen(),
        app,
        ids,
        caller,
        headers,
        after,
        hello: Some(hello),
        _place: place,
    };
    let chunks = stream::unfold(listener, Listener::next);
    let mut response = Body::from_stream(chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx and its like would gather events before they pass them on.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn never_given(id: &str) -> ApiError {
    let what = "was never given (was the database restored?); come without it, to start now";
    ApiError::new(Code::Conflict, format!("the event id {id} {what}"))
}

/// The ids of one caller's stream: positions for an admin, sealed for a tenant,
/// which would count all tenants' events by them.
struct Ids {
    app: Arc<App>,
    tenant: Option<Tenant>,
}

impl Ids {
    /// The position that an id stands for, and the id.
    fn read(&self, id: &str) -> Result<(Position, String), ApiError> {
        let plain = id.parse::<Position>();
        let position = match &self.tenant {
            None => plain,
            // The beginning tells nobody anything.
            Some(_) if plain == Ok(Position::BEGINNING) => plain,
            Some(tenant) => match event_id::open(self.keys(), tenant, id) {
                // What was given before ids were sealed, or under keys that are gone.
                None if plain.is_ok() || event_id::may_be(id) => return Err(never_given(id)),
                position => position.ok_or(PositionError),
            },
        };
        let position = position.map_err(|error| ApiError::new(Code::InvalidRequest, format!("Last-Event-ID: {error}")));
        Ok((position?, id.to_owned()))
    }

    /// The id of the event at `position`.
    fn of(&self, position: Position) -> String {
        self.text(position, 0)
    }

    /// An id from which a stream goes on at `position`, where there is no event
    /// of the caller's: never twice the same to a tenant.
    fn of_none(&self, position: Position) -> String {
        let mut salt = [0; 8];
        // Without randomness two ids may be alike: then nothing happened in between.
        let _ = SystemRandom::new().fill(&mut salt);
        self.text(position, u64::from_be_bytes(salt))
    }

    fn text(&self, position: Position, salt: u64) -> String {
        match &self.tenant {
            None => position.to_string(),
            Some(tenant) => event_id::seal(self.keys(), tenant, position, salt),
        }
    }

    fn keys(&self) -> &LinkKeys {
        self.app.links.keys(Audience::Public)
    }
}

/// One stream. The client's pace is its own: nothing is read ahead of it.
struct Listener {
    app: Arc<App>,
    ids: Ids,
    heard: watch::Receiver<Position>,
    caller: Caller,
    /// What the caller showed: it may be revoked while the stream runs.
    headers: HeaderMap,
    after: Position,
    hello: Option<String>,
    _place: Share,
}

impl Listener {
    async fn next(mut self) -> Option<(Result<Bytes, std::convert::Infallible>, Self)> {
        let text = match self.hello.take() {
            Some(hello) => hello,
            None => self.read().await?,
        };
        Some((Ok(text.into()), self))
    }

    /// What to send next; none at the end.
    async fn read(&mut self) -> Option<String> {
        loop {
            self.heard.mark_unchanged();
            if !self.is_welcome().await {
                return None;
            }
            match self.batch().await {
                Ok(text) if !text.is_empty() => return Some(text),
                Ok(_) => {}
                Err(error) => {
                    // The client comes again, with the id of what it saw last.
                    tracing::warn!(error = &error as &dyn std::error::Error, "a stream of events ends");
                    return None;
                }
            }
            tokio::select! {
                changed = self.heard.changed() => changed.ok()?,
                () = tokio::time::sleep(HEARTBEAT) => return Some(":\n\n".to_owned()),
                () = self.app.event_stream.ending().cancelled() => return None,
            }
        }
    }

    /// Whether the caller's token still is what it was.
    async fn is_welcome(&self) -> bool {
        let now = auth::caller(&self.app, &self.headers, Schemes::Bearer).await;
        now.is_ok_and(|caller| caller == self.caller)
    }

    /// The next events, up to what there is.
    async fn batch(&mut self) -> Result<String, CatalogError> {
        let App { catalog, final_urls, .. } = &*self.app;
        let mut text = String::new();
        while text.is_empty() {
            let events = self.own_events().await?;
            let Some((last, _)) = events.last() else { break };
            let last = *last;
            let told = events.iter().filter_map(|(position, event)| Some((position, event.as_ref()?)));
            for (position, event) in told.filter(|(_, event)| event.kind.is_for_apps()) {
                let data = outbox::text(&**catalog, final_urls, event).await?;
                let id = self.ids.of(*position);
                text.push_str(&format!("id: {id}\nevent: {}\ndata: {data}\n\n", event.kind));
            }
            self.after = last;
        }
        Ok(text)
    }

    /// What happened next, and which of it the caller may know of.
    async fn own_events(&self) -> Result<Vec<(Position, Option<Event>)>, CatalogError> {
        match self.caller.tenant() {
            Some(tenant) => self.app.catalog.own_events(tenant, self.after, BATCH_OF_OWN).await,
            None => {
                let events = self.app.catalog.events(self.after, BATCH).await?;
                Ok(events.into_iter().map(|(position, event)| (position, Some(event))).collect())
            }
        }
    }
}
