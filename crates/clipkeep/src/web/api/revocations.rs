//! Revoking links: one, all of a clip's, all that a key signed.

use axum::{
    Json,
    extract::{Path, State},
};
use clipkeep_core::{
    id::KeyId,
    link::{Audience, Revocation},
    problem::Code,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::clips::clip_for;
use crate::{
    auth::Caller,
    web::{AppState, auth::Authenticated, error::ApiError, json::JsonObject},
};

/// What is to be revoked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "give either url or kid, as text")]
pub(crate) enum RevokeRequest {
    /// One link.
    Link(OneLink),
    /// All links of a key.
    Key(OneKey),
}

/// One link.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneLink {
    /// The link, as it was handed out.
    url: String,
}

/// All links of a key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneKey {
    /// The id of the key that signed them, or will sign. For admins.
    kid: String,
}

/// What was revoked.
#[derive(Serialize, ToSchema)]
pub(crate) struct RevokedAnswer {
    /// `link`, `clip` (all of its links) or `kid`.
    revoked: &'static str,
    /// The clip.
    key: Option<String>,
    /// The key id.
    kid: Option<String>,
    /// The clip's link generation from now on: what an app that signs by itself
    /// adds to the key's id, as in `k1.2`.
    link_generation: Option<u32>,
}

/// Revokes one link, or all links that a key signed. Every node refuses them
/// within seconds.
#[utoipa::path(post, path = "/api/v1/links/revoke", tag = "links", request_body = RevokeRequest,
    security(("token" = [])),
    responses((status = 200, body = RevokedAnswer), (status = 400, description = "Not understood"),
        (status = 401, description = "No valid token"), (status = 403, description = "A key id needs an admin token"),
        (status = 404, description = "No such link, clip or key id"), (status = 409, description = "Too many are revoked already")))]
pub(crate) async fn revoke(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    JsonObject { body: wanted, .. }: JsonObject<RevokeRequest>,
) -> Result<Json<RevokedAnswer>, ApiError> {
    let (revocation, answer) = match wanted {
        RevokeRequest::Link(OneLink { url }) => one_link(&app, &caller, &url).await?,
        RevokeRequest::Key(OneKey { kid }) if caller == Caller::Admin => all_of_a_key(&app, &kid)?,
        RevokeRequest::Key(_) => {
            return Err(ApiError::new(Code::Forbidden, "only an admin token may revoke a key id"));
        }
    };
    if !app.revoke(revocation, caller.tenant()).await? {
        let words = "too many links are revoked already: revoke all links of the clip at once instead";
        return Err(ApiError::new(Code::Conflict, words));
    }
    Ok(Json(answer))
}

async fn one_link(app: &AppState, caller: &Caller, url: &str) -> Result<(Revocation, RevokedAnswer), ApiError> {
    let read = app.links.read(url);
    let (_, key, revocation) = read.map_err(|error| ApiError::new(Code::NotFound, format!("url: {error}")))?;
    if *caller != Caller::Admin {
        clip_for(caller, app, key.as_str()).await?;
    }
    let key = Some(key.into());
    Ok((revocation, RevokedAnswer { revoked: "link", key, kid: None, link_generation: None }))
}

fn all_of_a_key(app: &AppState, text: &str) -> Result<(Revocation, RevokedAnswer), ApiError> {
    let kid = text.parse::<KeyId>().ok();
    let known = |kid: &KeyId| [Audience::Public, Audience::Internal].iter().any(|one| app.links.keys(*one).has(kid));
    let kid = kid.filter(known).ok_or_else(|| ApiError::new(Code::NotFound, "no link key has that id"))?;
    let answer = RevokedAnswer { revoked: "kid", key: None, kid: Some(kid.to_string()), link_generation: None };
    Ok((Revocation::Key(kid), answer))
}

/// Revokes all links to a clip, of both audiences, whenever and by whomever they
/// were signed. Links made from now on work.
#[utoipa::path(post, path = "/api/v1/clips/{key}/links/revoke", tag = "links", params(("key" = String, Path, description = "The clip's key")),
    security(("token" = [])),
    responses((status = 200, body = RevokedAnswer), (status = 401, description = "No valid token"), (status = 404, description = "No such clip")))]
pub(crate) async fn revoke_links_of(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    Path(key): Path<String>,
) -> Result<Json<RevokedAnswer>, ApiError> {
    let key = clip_for(&caller, &app, &key).await?.key;
    let link_generation = app.revoke_links_of(&key).await?;
    Ok(Json(RevokedAnswer { revoked: "clip", key: Some(key.into()), kid: None, link_generation }))
}
