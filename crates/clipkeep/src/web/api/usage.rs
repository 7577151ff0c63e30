//! Usage: who got how much.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use clipkeep_core::problem::Code;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::query::{bad, holdable, in_order, limit_of, moment, parse};
use crate::{
    auth::Caller,
    catalog::{UsageFilter, UsageGroup, UsageLine},
    dto::UsageRow,
    web::{AppState, auth::Authenticated, error::ApiError},
};

/// Which usage to return, and how to group it. All filters must match.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageQuery {
    /// Only hours that begin at or after this time (RFC 3339, `2026-01-31` or `2026-01`; UTC).
    from: Option<String>,
    /// Only hours that begin before this time (same formats).
    to: Option<String>,
    /// Only clips of this tenant.
    #[param(pattern = "^[A-Za-z0-9._~:@|/+-]+$", max_length = 128)]
    tenant: Option<String>,
    /// Only clips of exactly this model.
    model: Option<String>,
    /// Only this clip.
    #[param(pattern = r"^[A-Za-z0-9._~-]+\.[A-Za-z0-9]+$", max_length = 160)]
    key: Option<String>,
    /// Group by `clip`, `tenant`, `model`, `prompt`, `hour`, `day` or `month`;
    /// default `day`.
    #[param(pattern = "^(clip|tenant|model|prompt|hour|day|month)$")]
    by: Option<String>,
    /// Return at most this many rows, 1 to 1000; default 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// A page of usage, by name.
#[derive(Serialize, ToSchema)]
pub(crate) struct UsageList {
    /// What the rows are grouped by.
    by: &'static str,
    /// The rows.
    usage: Vec<UsageRow>,
    /// The total over all pages.
    total: UsageRow,
    /// Pass it as `cursor` to get the next page; null on the last page.
    next_cursor: Option<String>,
}

/// What narrows usage and costs.
pub(super) struct Narrow {
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) tenant: Option<String>,
    pub(super) model: Option<String>,
    pub(super) key: Option<String>,
}

impl Narrow {
    pub(super) fn filter(self) -> Result<UsageFilter, ApiError> {
        let (from, to) = (moment("from", self.from)?, moment("to", self.to)?);
        in_order(("from", from), ("to", to))?;
        Ok(UsageFilter {
            from,
            to,
            tenant: parse("tenant", self.tenant)?,
            model: self.model.map(|model| holdable("model", model)).transpose()?,
            key: parse("key", self.key)?,
        })
    }
}

/// The filter, for what the caller may see.
pub(crate) fn own(caller: Caller, mut filter: UsageFilter) -> Result<UsageFilter, ApiError> {
    if let Caller::Tenant(own) = caller
        && filter.tenant.replace(own.clone()).is_some_and(|other| other != own)
    {
        return Err(ApiError::new(Code::Forbidden, "this token sees its own tenant's only"));
    }
    Ok(filter)
}

/// What was delivered: plays, bytes, hits, cold fetches. docs/usage.md says what
/// each number means. A tenant's token sees its own.
#[utoipa::path(get, path = "/api/v1/usage", tag = "usage", params(UsageQuery),
    security(("token" = [])),
    responses((status = 200, body = UsageList), (status = 401, description = "No valid token"), (status = 403, description = "Another tenant's"), (status = 400, description = "A filter is not understood")))]
pub(crate) async fn get_usage(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    query: Result<Query<UsageQuery>, QueryRejection>,
) -> Result<Json<UsageList>, ApiError> {
    let Query(query) = query.map_err(|error| ApiError::new(Code::InvalidRequest, error.body_text()))?;
    let UsageQuery { from, to, tenant, model, key, by, limit, cursor } = query;
    let filter = own(caller, Narrow { from, to, tenant, model, key }.filter()?)?;
    let filter = filter.by_names(&*app.catalog).await?;
    let limit = limit_of(limit)?;
    let group: UsageGroup = parse("by", by)?.unwrap_or_default();
    let after = cursor.as_deref().map(read_cursor).transpose()?;
    let page = app.catalog.usage(&filter, group, after.as_deref(), limit).await?;
    let total = app.catalog.usage(&filter, UsageGroup::All, None, 1).await?.lines.pop();
    Ok(Json(UsageList {
        by: group.as_str(),
        usage: page.lines.into_iter().map(UsageRow::new).collect(),
        total: UsageRow::new(total.unwrap_or_else(UsageLine::nothing)),
        next_cursor: page.next.map(|name| BASE64URL_NOPAD.encode(name.as_bytes())),
    }))
}

/// The name after which a page starts.
pub(super) fn read_cursor(text: &str) -> Result<String, ApiError> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|text| !text.contains('\0'));
    text.ok_or_else(|| bad("cursor", "is not one of ours"))
}
