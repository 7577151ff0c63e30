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
use crate::{auth::Caller, catalog::outbox::Backlog};

/// The process runs.
#[utoipa::path(get, path = "/healthz", tag = "ops", responses((status = 200, description = "The process runs", content_type = "application/json", body = Object)))]
pub(super) async fn healthz() -> impl IntoResponse {
    axum::Json(json!({"status": "ok"}))
}

/// The node can do its work: the catalogue answers, webhooks can be kept, the
/// store is not another catalogue's, the disk has room, and it is not about to stop. Looked at once a second at most.
#[utoipa::path(get, path = "/readyz", tag = "ops", responses(
    (status = 200, description = "Ready", content_type = "application/json", body = Object),
    (status = 503, description = "Not ready, and why", content_type = "application/json", body = Object),
))]
pub(super) async fn readyz(State(app): State<AppState>) -> Response {
    let why = match app.stopping.is_cancelled() {
        true => Some("stopping"),
        false => app.vitals.trouble(&app.catalog, &app.intake, &app.custody).await,
    };
    match why {
        None => axum::Json(json!({"status": "ready"})).into_response(),
        Some(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({"status": "not ready", "why": why}))).into_response()
        }
    }
}

/// Prometheus metrics, in the OpenMetrics text format. Rows are counted once in
/// ten seconds at most; what the catalogue does not say has no sample. What budgets are and come
/// to is told with an admin token alone.
#[utoipa::path(get, path = "/metrics", tag = "ops", security((), ("admin_token" = [])), responses((status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text", body = String)))]
pub(super) async fn metrics(State(app): State<AppState>, headers: HeaderMap) -> Response {
    let rows = app.vitals.rows(&app.catalog).await;
    app.metrics.observe(rows.clips.as_deref(), app.engine.running());
    app.metrics.observe_bodies(app.hook_memory.used(), app.bodies.used(), app.body_spool.used());
    for endpoint in &app.config.event_endpoints {
        let of_it = |backlogs: &Vec<Backlog>| {
            let backlog = backlogs.iter().find(|backlog| backlog.endpoint == endpoint.name());
            backlog.map_or((0, 0), |backlog| (backlog.waiting, backlog.parked))
        };
        app.metrics.observe_endpoint(endpoint.name(), rows.backlogs.as_ref().map(of_it));
    }
    let is_admin = matches!(auth::caller(&app, &headers, Schemes::Bearer).await, Ok(Caller::Admin));
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.render(is_admin)).into_response()
}
