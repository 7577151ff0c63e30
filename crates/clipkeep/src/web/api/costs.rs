//! What clips cost.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use clipkeep_core::problem::Code;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    query::{bad, limit_of, parse},
    usage::{Narrow, own, read_cursor},
};
use crate::{
    catalog::{UsageGroup, budgets::BudgetUse},
    costs::{CostError, CostQuery, CostReport, report},
    web::{AppState, auth::Authenticated, error::ApiError},
};

/// Which costs to return, and how to group them. All filters must match.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CostsQuery {
    /// Costs from this time on (RFC 3339, `2026-01-31` or `2026-01`; UTC); by
    /// default from the start of the month.
    from: Option<String>,
    /// Costs before this time (same formats); by default up to the end of the month.
    to: Option<String>,
    /// Only clips of this tenant.
    tenant: Option<String>,
    /// Only clips of exactly this model.
    model: Option<String>,
    /// Only this clip.
    #[param(pattern = r"^[A-Za-z0-9._~-]+\.[A-Za-z0-9]+$", max_length = 160)]
    key: Option<String>,
    /// Use only this price list.
    list: Option<String>,
    /// Group by `clip`, `tenant`, `model`, `prompt`, `day` or `month`; default
    /// `day`.
    #[param(pattern = "^(clip|tenant|model|prompt|day|month)$")]
    by: Option<String>,
    /// Return at most this many rows, 1 to 1000; default 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// What it costs.
#[derive(Serialize, ToSchema)]
pub(crate) struct CostList {
    #[serde(flatten)]
    report: CostReport,
    /// What this month may cost, and how much of it is spent: that for all
    /// together first, then what is used up most; at most 100. On the first page
    /// alone. A tenant's token sees its own.
    budgets: Vec<BudgetUse>,
    /// Pass it as `cursor` to get the next page; null on the last page.
    next_cursor: Option<String>,
}

/// What clips cost: storage, egress, the bucket's operations, generations; on
/// several price lists side by side. docs/costs.md says how it is reckoned. A
/// tenant's token sees its own.
#[utoipa::path(get, path = "/api/v1/costs", tag = "usage", params(CostsQuery),
    security(("token" = [])),
    responses((status = 200, body = CostList), (status = 401, description = "No valid token"), (status = 403, description = "Another tenant's"), (status = 400, description = "A filter is not understood")))]
pub(crate) async fn get_costs(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    query: Result<Query<CostsQuery>, QueryRejection>,
) -> Result<Json<CostList>, ApiError> {
    let Query(query) = query.map_err(|error| ApiError::new(Code::InvalidRequest, error.body_text()))?;
    let narrow = Narrow { from: query.from, to: query.to, tenant: query.tenant, model: query.model, key: query.key };
    let mut lists = app.price_lists.clone();
    if let Some(wanted) = &query.list {
        lists.retain(|list| list.name == *wanted);
        if lists.is_empty() {
            return Err(bad("list", "is not one of the price lists"));
        }
    }
    let after = query.cursor.as_deref().map(read_cursor).transpose()?;
    let asked = CostQuery {
        filter: own(caller, narrow.filter()?)?.by_names(&*app.catalog).await?,
        group: parse::<UsageGroup>("by", query.by)?.unwrap_or_default(),
        lists: &lists,
        generations: &app.config.generation_prices,
        after: after.as_deref(),
        limit: limit_of(query.limit)?,
    };
    let now = app.clock.now();
    let report = report(&*app.catalog, now, &asked).await.map_err(refused)?;
    let budgets = match &after {
        None => app.budgets.shown(&*app.catalog, now, &asked.filter, query.list.as_deref()).await,
        Some(_) => Ok(Vec::new()),
    };
    let budgets = budgets.map_err(refused)?;
    let next_cursor = report.next.as_ref().map(|name| BASE64URL_NOPAD.encode(name.as_bytes()));
    Ok(Json(CostList { report, budgets, next_cursor }))
}

pub(crate) fn refused(error: CostError) -> ApiError {
    match error {
        CostError::Catalog(error) => error.into(),
        CostError::TooLong | CostError::Group => ApiError::new(Code::InvalidRequest, error.to_string()),
        CostError::List { .. } | CostError::Budget { .. } => {
            ApiError::unavailable("a price list cannot be read", error)
        }
    }
}
