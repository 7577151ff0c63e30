//! Links: signed URLs for one clip; and how they are revoked.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State, rejection::JsonRejection},
    http::StatusCode,
};
use clipkeep_core::{config::DurationText, link::Audience, problem::Code, state::ClipState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::clips::{no_such_clip, parse_key};
use crate::{
    app::App,
    web::{AppState, auth::By, error::ApiError},
};

/// What link is wanted.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LinkRequest {
    /// How long it shall hold: seconds, or text such as `24h`. A public link's
    /// end is rounded up to the link window. The node's `link_ttl` unless given,
    /// and for an internal link no more than `internal_link_max_ttl`.
    #[schema(value_type = Option<String>, example = "24h")]
    expires_in: Option<Span>,
    /// `public`, or `internal`: that one leads to the source while the clip is
    /// not stored, and must not be handed to users. `public` unless given.
    #[schema(example = "public")]
    audience: Option<String>,
    /// The file name to save it under.
    download: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum Span {
    Secs(u64),
    Text(String),
}

/// A signed link.
#[derive(Serialize, ToSchema)]
pub(crate) struct LinkRow {
    /// The URL to hand out.
    url: String,
    /// For whom it is.
    #[schema(value_type = String, example = "public")]
    audience: Audience,
    /// When it stops working (unix seconds).
    expires: i64,
    /// The same instant, RFC 3339.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Signs a link for a clip, stored yet or not.
#[utoipa::path(post, path = "/api/v1/clips/{key}/links", tag = "links", params(("key" = String, Path, description = "The clip's key")),
    request_body = Option<LinkRequest>, security(("admin_token" = [])),
    responses((status = 201, body = LinkRow), (status = 400, description = "Not understood"), (status = 401, description = "No valid token"),
        (status = 404, description = "No such clip"), (status = 409, description = "The key that signs was revoked"),
        (status = 410, description = "The clip is lost, rejected or deleted")))]
pub(crate) async fn create_link(
    By(caller): By,
    State(app): State<AppState>,
    Path(key): Path<String>,
    body: Result<Option<Json<LinkRequest>>, JsonRejection>,
) -> Result<(StatusCode, Json<LinkRow>), ApiError> {
    let key = parse_key(&key)?;
    let wanted =
        body.map_err(|e| ApiError::new(Code::InvalidRequest, e.body_text()))?.map(|Json(b)| b).unwrap_or_default();
    let (audience, span) = wanted.read(&app)?;
    let clip = app.catalog.clip(&key).await?.filter(|clip| caller.sees_clip(clip));
    let clip = clip.ok_or_else(|| no_such_clip(&key))?;
    if matches!(clip.state, ClipState::Lost | ClipState::Rejected | ClipState::Deleted) {
        return Err(ApiError::new(Code::Gone, format!("{key} is {}", clip.state)));
    }
    if app.links.signs_in_vain(audience) {
        return Err(ApiError::new(Code::Conflict, SIGNS_IN_VAIN));
    }
    let link = app.sign_link(audience, (&key, clip.link_generation), span, wanted.download.as_deref());
    let expires_at = link.expires.to_string();
    let row = LinkRow { url: link.url, audience, expires: link.expires.secs(), expires_at };
    Ok((StatusCode::CREATED, Json(row)))
}

const SIGNS_IN_VAIN: &str = "the key that signs was revoked: put a new one in front of the link keys";

impl LinkRequest {
    fn read(&self, app: &App) -> Result<(Audience, Duration), ApiError> {
        let bad = |text: String| ApiError::new(Code::InvalidRequest, text);
        let audience = self.audience.as_deref().unwrap_or("public");
        let audience: Audience = audience.parse().map_err(|error| bad(format!("audience: {error}")))?;
        let (max, key) = app.longest_link(audience);
        if self.download.as_ref().is_some_and(|name| name.len() > 255) {
            return Err(bad("download: at most 255 bytes".to_owned()));
        }
        let span = match &self.expires_in {
            None => app.config.link_ttl.min(max),
            Some(Span::Secs(secs)) => Duration::from_secs(*secs),
            Some(Span::Text(text)) => text.parse::<DurationText>().map_err(|e| bad(format!("expires_in: {e}")))?.into(),
        };
        if span.is_zero() || span > max {
            return Err(bad(format!("expires_in: must be 1 s to {} s ({key})", max.as_secs())));
        }
        Ok((audience, span))
    }
}
