//! For operators: health, readiness, metrics, the OpenAPI document.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    AppState,
    auth::{self, Schemes},
};
use crate::callers::Caller;

/// The process runs.
#[utoipa::path(get, path = "/healthz", tag = "ops", responses((status = 200, description = "The process runs", content_type = "application/json", body = Object)))]
pub(super) async fn healthz() -> impl IntoResponse {
    axum::Json(json!({"status": "ok"}))
}

/// The node can do its work: the catalogue answers and it is not stopping.
#[utoipa::path(get, path = "/readyz", tag = "ops", responses(
    (status = 200, description = "Ready", content_type = "application/json", body = Object),
    (status = 503, description = "Not ready, and why", content_type = "application/json", body = Object),
))]
pub(super) async fn readyz(State(app): State<AppState>) -> Response {
    let why = if app.stopping.is_cancelled() {
        Some("stopping")
    } else if app.catalog.ping().await.is_err() {
        Some("the catalogue does not answer")
    } else {
        None
    };
    match why {
        None => axum::Json(json!({"status": "ready"})).into_response(),
        Some(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({"status": "not ready", "why": why}))).into_response()
        }
    }
}

/// Prometheus metrics, in the OpenMetrics text format. What budgets are and come
/// to is told with an admin token alone.
#[utoipa::path(get, path = "/metrics", tag = "ops", security((), ("admin_token" = [])), responses((status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text", body = String)))]
pub(super) async fn metrics(State(app): State<AppState>, headers: HeaderMap) -> Response {
    let counts = app.catalog.count_by_state().await.unwrap_or_default();
    app.metrics.observe(&counts, app.engine.running());
    let backlogs = app.catalog.count_deliveries().await.unwrap_or_default();
    for endpoint in &app.config.event_endpoints {
        let backlog = backlogs.iter().find(|backlog| backlog.endpoint == endpoint.name());
        let (waiting, parked) = backlog.map_or((0, 0), |backlog| (backlog.waiting, backlog.parked));
        app.metrics.observe_endpoint(endpoint.name(), waiting, parked);
    }
    let is_admin = matches!(auth::caller(&app, &headers, Schemes::Bearer).await, Ok(Caller::Admin));
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.render(is_admin)).into_response()
}
