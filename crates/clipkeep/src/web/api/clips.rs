//! Clips: list, one, delete, history, fill.

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
};
use clipkeep_core::{
    config::Prompts,
    generation::{Clip, HistoryEntry},
    history,
    id::ClipKey,
    problem::Code,
    state::ClipState,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    model::ClipRow,
    query::{ClipQuery, write_cursor},
};
use crate::{
    app::App,
    auth::Caller,
    catalog::{CatalogError, Deletion, lookup::clip_by_any_key},
    web::{AppState, auth::Authenticated, error::ApiError},
};

/// A page of clips, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClipList {
    /// The clips.
    clips: Vec<ClipRow>,
    /// Pass it as `cursor` to get the next page; null on the last page.
    next_cursor: Option<String>,
    /// Why nothing can be found, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

const ONLY_HASHES: &str = "prompts are kept as hashes only (`prompts`): no words are found in them";

/// One line of a clip's history.
#[derive(Serialize, ToSchema)]
pub struct HistoryRow {
    /// When it happened.
    #[schema(format = DateTime)]
    at: String,
    /// What happened.
    event: String,
    /// More, in plain words.
    detail: Option<String>,
    /// Bytes read from the source, where the line ends an attempt; bytes of the
    /// object, where it is sealed.
    bytes: Option<u64>,
}

impl From<HistoryEntry> for HistoryRow {
    fn from(entry: HistoryEntry) -> Self {
        let HistoryEntry { at, event, detail, bytes } = entry;
        Self { at: at.to_string(), event, detail, bytes }
    }
}

/// A clip's history, oldest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct HistoryList {
    /// The rows.
    history: Vec<HistoryRow>,
}

/// What `fill` answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct FillStarted {
    /// The clip.
    key: String,
    /// `started` (or joined), `restarted` (it was lost or rejected, and is tried
    /// again from its source), or `nothing_to_do` (stored, or deleted).
    fill: &'static str,
}

/// Lists clips, newest first.
#[utoipa::path(get, path = "/api/v1/clips", tag = "clips", params(ClipQuery),
    security(("token" = [])),
    responses((status = 200, body = ClipList), (status = 401, description = "No valid token"), (status = 400, description = "A filter is not understood")))]
pub(crate) async fn list_clips(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    query: Result<Query<ClipQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<ClipList>, ApiError> {
    let Query(query) = query.map_err(|error| ApiError::new(Code::InvalidRequest, error.body_text()))?;
    let mut page = query.read()?;
    let only_hashes = page.filter.words.is_some() && app.config.prompts == Prompts::HashOnly;
    let note = only_hashes.then_some(ONLY_HASHES);
    if !caller.restrict(&mut page.filter.tenant) {
        return Ok(Json(ClipList { clips: Vec::new(), next_cursor: None, note }));
    }
    let found = app.catalog.clips(&page.filter, page.after.as_ref(), page.limit).await?;
    let clips = found.clips.into_iter().map(|clip| ClipRow::seen_by(&caller, clip, &app.final_urls)).collect();
    Ok(Json(ClipList { clips, next_cursor: found.next.as_ref().map(write_cursor), note }))
}

/// A clip's row.
#[utoipa::path(get, path = "/api/v1/clips/{key}", tag = "clips", params(("key" = String, Path, description = "The clip's key")),
    security(("token" = [])),
    responses((status = 200, body = ClipRow), (status = 401, description = "No valid token"), (status = 404, description = "No such clip")))]
pub(crate) async fn get_clip(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    Path(key): Path<String>,
) -> Result<Json<ClipRow>, ApiError> {
    let clip = clip_for(&caller, &app, &key).await?;
    Ok(Json(ClipRow::seen_by(&caller, clip, &app.final_urls)))
}

/// Deletes a clip for good: its object, every copy, and the effect of its links
/// (410). The row stays, so that nothing brings it back.
#[utoipa::path(delete, path = "/api/v1/clips/{key}", tag = "clips", params(("key" = String, Path, description = "The clip's key")),
    security(("token" = [])),
    responses((status = 204, description = "It is deleted, now or before"), (status = 401, description = "No valid token"), (status = 404, description = "No such clip")))]
pub(crate) async fn delete_clip(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    Path(key): Path<String>,
) -> Result<StatusCode, ApiError> {
    delete_for(&caller, &app, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes the clip of that name, if the caller may; answers its name.
pub(crate) async fn delete_for(caller: &Caller, app: &AppState, key: &str) -> Result<ClipKey, ApiError> {
    let Clip { key, .. } = clip_called(caller, app, key).await?;
    if app.delete(&key, "by request").await? != Deletion::Unknown {
        return Ok(key);
    }
    // Its bytes gave it another name just now.
    let Clip { key, .. } = clip_called(caller, app, key.as_str()).await?;
    match app.delete(&key, "by request").await? {
        Deletion::Deleted | Deletion::Already => Ok(key),
        Deletion::Unknown => Err(no_such_clip(&key)),
    }
}

/// What happened to a clip, oldest first.
#[utoipa::path(get, path = "/api/v1/clips/{key}/history", tag = "clips", params(("key" = String, Path, description = "The clip's key")),
    security(("token" = [])),
    responses((status = 200, body = HistoryList), (status = 401, description = "No valid token"), (status = 404, description = "No such clip")))]
pub(crate) async fn get_history(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    Path(key): Path<String>,
) -> Result<Json<HistoryList>, ApiError> {
    let Clip { key, .. } = clip_for(&caller, &app, &key).await?;
    let entries = history_for(&caller, &app, &key).await?;
    Ok(Json(HistoryList { history: entries.into_iter().map(HistoryRow::from).collect() }))
}

/// Starts a clip's fill now, whatever its policy, or joins the running one. A clip
/// that is lost or rejected is tried again from its source, as if for the first
/// time.
#[utoipa::path(post, path = "/api/v1/clips/{key}/fill", tag = "clips", params(("key" = String, Path, description = "The clip's key")),
    security(("token" = [])),
    responses((status = 202, body = FillStarted), (status = 401, description = "No valid token"), (status = 404, description = "No such clip")))]
pub(crate) async fn fill_clip(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    Path(key): Path<String>,
) -> Result<(StatusCode, Json<FillStarted>), ApiError> {
    let (key, fill) = fill_for(&caller, &app, &key).await?;
    Ok((StatusCode::ACCEPTED, Json(FillStarted { key: key.into(), fill })))
}

/// Starts the fill of the clip of that name, if the caller may; answers its name,
/// and what happened, as [`FillStarted`] has it.
pub(crate) async fn fill_for(caller: &Caller, app: &AppState, key: &str) -> Result<(ClipKey, &'static str), ApiError> {
    let Clip { key, state, .. } = clip_for(caller, app, key).await?;
    let fill = match state {
        ClipState::Waiting | ClipState::Filling => "started",
        ClipState::Stored | ClipState::Deleted => "nothing_to_do",
        ClipState::Lost | ClipState::Rejected => {
            let back = app.catalog.requeue(std::slice::from_ref(&key), app.clock.now(), "by request", true).await?;
            // Somebody else was faster: by hand, by news, or by its deletion.
            if back.is_empty() { "started" } else { "restarted" }
        }
    };
    if fill != "nothing_to_do" {
        app.engine.join(&key);
    }
    Ok((key, fill))
}

fn parse_key(text: &str) -> Result<ClipKey, ApiError> {
    text.parse().map_err(|_| ApiError::new(Code::NotFound, "no clip has that name; keys look like {request_id}.mp4"))
}

/// The clip that is meant by that name, if the caller may know of it.
pub(crate) async fn clip_for(caller: &Caller, app: &App, key: &str) -> Result<Clip, ApiError> {
    let key = parse_key(key)?;
    let clip = clip_by_any_key(&*app.catalog, &key).await?.filter(|clip| caller.may_see_clip(clip));
    clip.ok_or_else(|| no_such_clip(&key))
}

/// What happened to a clip that the caller may know of, oldest first.
pub(crate) async fn history_for(caller: &Caller, app: &App, key: &ClipKey) -> Result<Vec<HistoryEntry>, CatalogError> {
    let entries = app.catalog.history(key).await?;
    Ok(match caller.tenant() {
        Some(_) => entries.into_iter().map(history::without_node).collect(),
        None => entries,
    })
}

/// The clip that has that name, or had it: what was never its name deletes nothing.
async fn clip_called(caller: &Caller, app: &App, key: &str) -> Result<Clip, ApiError> {
    let key = parse_key(key)?;
    let clip = app.catalog.clip(&key).await?.filter(|clip| caller.may_see_clip(clip));
    clip.ok_or_else(|| no_such_clip(&key))
}

fn no_such_clip(key: &ClipKey) -> ApiError {
    ApiError::new(Code::NotFound, format!("no clip is named {key}"))
}
