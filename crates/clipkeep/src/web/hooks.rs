//! `POST /hooks/{provider}`: verify, commit, answer. The download never happens
//! here. What differs from provider to provider is in `provider/`.

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use clipkeep_core::problem::Code;
use serde_json::json;
use tokio::time::Instant;

use super::{
    AppState,
    error::ApiError,
    read_body::{content_length, read_body},
};
use crate::{
    catalog::{CatalogError, HookOutcome},
    hook_memory::{Crowded, Room},
    provider::{HookRefused, ProviderAdapter, WebhookRequest},
};

/// Receives a provider's signed webhook: `fal`, `replicate`, or `standard` for
/// any other that signs as Standard Webhooks lay down.
///
/// 200 leaves only after generation, clips and work are durable. Duplicates
/// change nothing and get 200 too. The query of the hook URL may carry `model`,
/// `prompt` or `prompt_hash`, `tenant`, `policy`, `public` and `source_lifetime`
/// (seconds).
#[utoipa::path(
    post, path = "/hooks/{provider}", tag = "hooks",
    params(("provider" = String, Path, description = "Who sends it: `fal`, `replicate` or `standard`")),
    request_body(content = String, content_type = "application/json", description = "The provider's webhook body"),
    responses(
        (status = 200, description = "Kept; or a duplicate of what was kept"),
        (status = 400, description = "Signed, but not understood"),
        (status = 401, description = "Not signed by the provider, altered, or too old"),
        (status = 404, description = "No provider has that name"),
        (status = 409, description = "Another provider's generation has its clips' keys"),
        (status = 408, description = "The body took longer than body_timeout"),
        (status = 413, description = "Larger than hook_max_body"),
        (status = 503, description = "Not kept: send it again"),
    )
)]
pub(super) async fn receive_hook(
    State(app): State<AppState>,
    Path(provider): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let began = Instant::now();
    let Some(adapter) = app.providers.named(&provider) else {
        return ApiError::new(Code::NotFound, "no provider has that name").into_response();
    };
    let result = receive(&app, adapter, query.as_deref().unwrap_or_default(), &headers, body).await;
    let outcome = match &result {
        Ok(HookOutcome::Recorded { .. }) => "recorded",
        Ok(HookOutcome::Duplicate) => "duplicate",
        Err(error) => error.code().as_str(),
    };
    app.metrics.hook_answered(outcome, began.elapsed());
    match result {
        Ok(HookOutcome::Recorded { clips }) => {
            if !clips.is_empty() {
                app.engine.wake();
            }
            (StatusCode::OK, axum::Json(json!({"status": "recorded", "clips": clips.len()}))).into_response()
        }
        Ok(HookOutcome::Duplicate) => (StatusCode::OK, axum::Json(json!({"status": "duplicate"}))).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn receive(
    app: &AppState,
    adapter: &dyn ProviderAdapter,
    query: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<HookOutcome, ApiError> {
    // The cheap half first: a stranger's body is not even read.
    adapter.verify_headers(WebhookRequest { headers, query, at: app.clock.now() })?;
    // Room and body stay until the webhook is kept or refused.
    let mut room = app.hook_memory.enter();
    let body = read(app, &mut room, body, content_length(headers)).await?;
    let decoded = adapter.verify_and_decode(WebhookRequest { headers, query, at: app.clock.now() }, &body).await?;
    let request_id = &decoded.record.request_id;
    let (request_id, provider) = (request_id.clone(), decoded.record.provider.clone());
    let kept = app.intake.record(&decoded).await;
    if let Err(taken @ CatalogError::KeyTaken { .. }) = &kept {
        tracing::warn!(%request_id, %provider, error = taken as &dyn std::error::Error, "a webhook was refused");
    }
    Ok(kept?)
}

/// All of the body, within its limits of length, time and memory.
async fn read(app: &AppState, room: &mut Room, body: Body, length: Option<u64>) -> Result<Bytes, ApiError> {
    let (max, patience) = (app.config.hook_max_body, app.config.body_timeout);
    let crowded_out = room.crowded_out();
    let gathered = tokio::select! {
        gathered = tokio::time::timeout(patience, read_body(room, body, (max, "hook_max_body"), length)) => gathered,
        () = crowded_out => return Err(Crowded.into()),
    };
    let body = gathered.unwrap_or_else(|_| {
        let why = format!("the body did not arrive within {patience:?} (body_timeout)");
        Err(ApiError::new(Code::RequestTimeout, why))
    })?;
    room.is_here();
    Ok(body.into())
}

impl From<HookRefused> for ApiError {
    fn from(refused: HookRefused) -> Self {
        match refused {
            HookRefused::Unsigned(why) => Self::new(Code::InvalidSignature, why),
            HookRefused::Query(error) => Self::new(Code::InvalidRequest, error.to_string()),
            HookRefused::Unread(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a signed webhook is not understood");
                Self::new(Code::InvalidRequest, error.to_string())
            }
            HookRefused::KeysAway(error) => Self::unavailable("the webhook keys cannot be had", error),
            HookRefused::NotConfigured(_) => Self::new(Code::Unavailable, refused.to_string()).retry_after(60),
        }
    }
}
