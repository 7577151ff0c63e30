//! Links: signed URLs for one clip; and how they are revoked.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use clipkeep_core::{
    config::DurationText,
    generation::{Clip, Poster},
    link::{Audience, LinkTarget},
    problem::Code,
    state::ClipState,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::clips::clip_for;
use crate::{
    app::App,
    auth::Caller,
    web::{AppState, auth::Authenticated, error::ApiError, json::JsonObject},
};

/// What link is wanted.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LinkRequest {
    /// How long it shall hold: seconds, or text such as `24h`. A public link's
    /// end is rounded up to the link window. The node's `link_ttl` unless given,
    /// and for an internal link no more than `internal_link_max_ttl`.
    #[schema(example = "24h")]
    expires_in: Option<Span>,
    /// `public`, or `internal`: that one leads to the source while the clip is
    /// not stored, must not be handed to users, and is for admins alone to make.
    /// `public` unless given.
    #[schema(value_type = Option<crate::schemas::Audience>)]
    audience: Option<String>,
    /// The file name to save it under; of a page, its title.
    #[schema(max_length = 255)]
    download: Option<String>,
    /// Whether the link leads to a page that plays the clip, to be sent to people.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    page: bool,
}

/// Seconds, or text such as `24h`.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(untagged, expecting = "expires_in must be a number of seconds, or text such as 24h")]
enum Span {
    /// Seconds.
    Secs(u64),
    /// A number and `ms`, `s`, `m`, `h` or `d`.
    Text(String),
}

/// A signed link.
#[derive(Serialize, ToSchema)]
pub(crate) struct LinkRow {
    /// The URL to hand out.
    url: String,
    /// For whom it is.
    #[schema(value_type = crate::schemas::Audience)]
    audience: Audience,
    /// When it stops working (unix seconds).
    expires: i64,
    /// The same instant, RFC 3339.
    #[schema(format = DateTime)]
    expires_at: String,
    /// A link to the clip's still that holds as long; null without one, and for
    /// internal links.
    poster_url: Option<String>,
}

/// Signs a link for a clip, stored yet or not.
#[utoipa::path(post, path = "/api/v1/clips/{key}/links", tag = "links", params(("key" = String, Path, description = "The clip's key")),
    request_body = Option<LinkRequest>, security(("token" = [])),
    responses((status = 201, body = LinkRow), (status = 400, description = "Not understood"), (status = 401, description = "No valid token"),
        (status = 403, description = "An internal link, by a tenant"), (status = 404, description = "No such clip"), (status = 409, description = "All keys that could sign were revoked, or too many links to this clip"),
        (status = 410, description = "The clip is lost, rejected or deleted")))]
pub(crate) async fn create_link(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    Path(key): Path<String>,
    body: Option<JsonObject<LinkRequest>>,
) -> Result<(StatusCode, Json<LinkRow>), ApiError> {
    let wanted = body.map(|JsonObject { body, .. }| body).unwrap_or_default();
    let (audience, span) = wanted.read(&app)?;
    let target = if wanted.page { LinkTarget::Page } else { LinkTarget::of(audience) };
    if target.audience() != audience {
        return Err(ApiError::new(Code::InvalidRequest, "page: pages are for users; leave audience out"));
    }
    if audience == Audience::Internal && caller != Caller::Admin {
        // It leads to the source, which a tenant's row withholds.
        return Err(ApiError::new(Code::Forbidden, "audience: internal links are for admins"));
    }
    let Clip { key, state, link_generation, poster, .. } = clip_for(&caller, &app, &key).await?;
    if matches!(state, ClipState::Lost | ClipState::Rejected | ClipState::Deleted) {
        return Err(ApiError::new(Code::Gone, format!("{key} is {state}")));
    }
    let sign = |target, download| {
        let link = app.sign_link(target, (&key, link_generation), span, download);
        link.map_err(|error| ApiError::new(Code::Conflict, error.to_string()))
    };
    let link = sign(target, wanted.download.as_deref())?;
    let has_poster = audience == Audience::Public && matches!(poster, Poster::Made { .. });
    let poster = if has_poster { Some(sign(LinkTarget::Poster, None)?.url) } else { None };
    let expires_at = link.expires.to_string();
    let row = LinkRow { url: link.url, audience, expires: link.expires.secs(), expires_at, poster_url: poster };
    Ok((StatusCode::CREATED, Json(row)))
}

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
