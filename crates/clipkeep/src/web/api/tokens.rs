//! Tokens: make, list, revoke. For admins.

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use clipkeep_core::{
    id::Tenant,
    problem::Code,
    token::{TokenInfo, check_token_name},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::query::limit_of;
use crate::{
    auth::{IssueError, issue},
    web::{AppState, auth::Admin, error::ApiError, json::JsonObject},
};

/// What token is wanted: one for a tenant, or an admin's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// A name that says what the token is for.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// The tenant whose rows the token may access.
    #[schema(pattern = "^[A-Za-z0-9._~:@|/+-]+$", max_length = 128)]
    tenant: Option<String>,
    /// Whether it is an admin token, which may access everything.
    #[serde(default)]
    admin: bool,
}

/// A token, without its text.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TokenRow {
    /// The id to revoke it by.
    id: String,
    /// What the token is for.
    name: String,
    /// The tenant whose rows it may access; null for an admin token.
    tenant: Option<String>,
    /// Whether it is an admin's.
    admin: bool,
    /// When it was created.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last used, to within ten minutes.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// When it was revoked.
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
}

impl From<TokenInfo> for TokenRow {
    fn from(token: TokenInfo) -> Self {
        let TokenInfo { id, name, tenant, created_at, last_used_at, revoked_at } = token;
        Self {
            id,
            name,
            admin: tenant.is_none(),
            tenant: tenant.map(Into::into),
            created_at: created_at.to_string(),
            last_used_at: last_used_at.map(|at| at.to_string()),
            revoked_at: revoked_at.map(|at| at.to_string()),
        }
    }
}

/// A new token. Its text is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewTokenRow {
    /// What to send as `Authorization: Bearer …`.
    token: String,
    #[serde(flatten)]
    row: TokenRow,
}

/// A page of tokens, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenList {
    /// The tokens, including revoked ones.
    tokens: Vec<TokenRow>,
    /// Pass it as `cursor` to get the next page; null on the last page.
    next_cursor: Option<String>,
}

/// Which tokens to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenQuery {
    /// Return at most this many, 1 to 1000; default 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    #[param(pattern = "^[A-Za-z0-9]+$", max_length = 64)]
    cursor: Option<String>,
}

/// Makes a token. The answer has its text, which is kept nowhere.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = TokenRequest,
    security(("admin_token" = [])),
    responses((status = 201, body = NewTokenRow), (status = 400, description = "Not understood"), (status = 401, description = "No valid token"),
        (status = 403, description = "Not an admin's token")))]
pub(crate) async fn create_token(
    _: Admin,
    State(app): State<AppState>,
    JsonObject { body: TokenRequest { name, tenant, admin }, .. }: JsonObject<TokenRequest>,
) -> Result<(StatusCode, Json<NewTokenRow>), ApiError> {
    let bad = |text: String| ApiError::new(Code::InvalidRequest, text);
    check_token_name(&name).map_err(|problem| bad(format!("name: {problem}")))?;
    if admin != tenant.is_none() {
        return Err(bad("say either whose rows it sees («tenant») or that it sees all («admin»)".to_owned()));
    }
    let tenant = tenant.map(|tenant| tenant.parse::<Tenant>()).transpose();
    let tenant = tenant.map_err(|error| bad(format!("tenant: {error}")))?;
    let (token, info) = issue(&*app.catalog, &*app.clock, name, tenant).await?;
    Ok((StatusCode::CREATED, Json(NewTokenRow { token: token.expose().clone(), row: info.into() })))
}

/// Lists tokens, newest first, revoked ones too.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", params(TokenQuery),
    security(("admin_token" = [])),
    responses((status = 200, body = TokenList), (status = 400, description = "The query is not understood"), (status = 401, description = "No valid token"),
        (status = 403, description = "Not an admin's token")))]
pub(crate) async fn list_tokens(
    _: Admin,
    State(app): State<AppState>,
    query: Result<Query<TokenQuery>, QueryRejection>,
) -> Result<Json<TokenList>, ApiError> {
    let Query(query) = query.map_err(|error| ApiError::new(Code::InvalidRequest, error.body_text()))?;
    let limit = limit_of(query.limit)?;
    if query.cursor.as_ref().is_some_and(|id| !is_token_id(id)) {
        return Err(ApiError::new(Code::InvalidRequest, "cursor: is not one of ours"));
    }
    let tokens = app.catalog.tokens(query.cursor.as_deref(), limit).await?;
    let full = tokens.len() >= limit as usize;
    let next_cursor = tokens.last().filter(|_| full).map(|last| last.id.clone());
    Ok(Json(TokenList { tokens: tokens.into_iter().map(TokenRow::from).collect(), next_cursor }))
}

/// Revokes a token for good. It opens nothing any more, here at once, and on
/// other nodes within seconds.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "tokens", params(("id" = String, Path, description = "The token's id")),
    security(("admin_token" = [])),
    responses((status = 204, description = "It is revoked, now or before"), (status = 401, description = "No valid token"),
        (status = 403, description = "Not an admin's token"), (status = 404, description = "No such token")))]
pub(crate) async fn revoke_token(
    _: Admin,
    State(app): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    if !is_token_id(&id) || !app.catalog.revoke_token(&id, app.clock.now()).await? {
        return Err(ApiError::new(Code::NotFound, "no token has that id"));
    }
    app.auth.forget();
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a token may have that id; what a database cannot hold is none.
pub(crate) fn is_token_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl From<IssueError> for ApiError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Catalog(error) => error.into(),
            IssueError::NoRandom => Self::unavailable("no token could be made", error),
        }
    }
}
