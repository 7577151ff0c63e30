//! Clips at risk.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use clipkeep_core::problem::Code;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{model::ClipRow, query::limit_of};
use crate::web::{AppState, auth::Authenticated, error::ApiError};

/// How many to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RiskQuery {
    /// Return at most this many, 1 to 1000; default 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Clips at risk, soonest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct RiskList {
    /// The clips.
    clips: Vec<ClipRow>,
}

/// Lists clips whose only copy is their source, and whose source vanishes
/// within `at_risk_before`; soonest first.
#[utoipa::path(get, path = "/api/v1/at-risk", tag = "clips", params(RiskQuery),
    security(("token" = [])),
    responses((status = 200, body = RiskList), (status = 400, description = "The query is not understood"), (status = 401, description = "No valid token")))]
pub(crate) async fn list_at_risk(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    query: Result<Query<RiskQuery>, QueryRejection>,
) -> Result<Json<RiskList>, ApiError> {
    let Query(query) = query.map_err(|error| ApiError::new(Code::InvalidRequest, error.body_text()))?;
    let until = app.clock.now().plus(app.config.at_risk_before);
    let limit = limit_of(query.limit)?;
    let found = match caller.tenant() {
        None => app.catalog.at_risk(until, limit).await?,
        Some(tenant) => app.catalog.own_at_risk(tenant, until, limit).await?,
    };
    let clips = found.into_iter().map(|clip| ClipRow::seen_by(&caller, clip, &app.final_urls)).collect();
    Ok(Json(RiskList { clips }))
}
