//! `POST /hooks/{provider}`: verify, commit, answer. The download never happens
//! here. What differs from provider to provider is in `provider/`.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use clipkeep_core::problem::Code;
use http_body_util::{BodyExt, Limited};
use serde_json::json;
use tokio::time::Instant;

use super::{AppState, error::ApiError};
use crate::{
    catalog::{CatalogError, HookOutcome},
    provider::{Dialect, Envelope, HookRefused},
};

/// How long a sender may take over its body (fal gives up after 15 s itself).
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

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
    let Some(dialect) = app.providers.named(&provider) else {
        return ApiError::new(Code::NotFound, "no provider has that name").into_response();
    };
    let result = receive(&app, dialect, query.as_deref().unwrap_or_default(), &headers, body).await;
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
    dialect: &dyn Dialect,
    query: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<HookOutcome, ApiError> {
    // The cheap half first: a stranger's body is not even read.
    dialect.screen(Envelope { headers, query, at: app.clock.now() })?;
    let body = read(body, app.config.hook_max_body).await?;
    let decoded = dialect.receive(Envelope { headers, query, at: app.clock.now() }, &body).await?;
    let request_id = &decoded.record.request_id;
    for note in &decoded.notes {
        tracing::info!(%request_id, slot = note.slot, reason = note.reason, "a file of the payload became no clip");
    }
    let (request_id, provider) = (request_id.clone(), decoded.record.provider.clone());
    let kept = app.hooks.record(decoded.record).await;
    if let Err(taken @ CatalogError::KeyTaken { .. }) = &kept {
        tracing::warn!(%request_id, %provider, error = taken as &dyn std::error::Error, "a webhook was refused");
    }
    Ok(kept?)
}

async fn read(body: Body, max: u64) -> Result<bytes::Bytes, ApiError> {
    let limited = Limited::new(body, usize::try_from(max).unwrap_or(usize::MAX));
    match tokio::time::timeout(BODY_TIMEOUT, limited.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(ApiError::new(Code::TooLarge, "the body is larger than hook_max_body"))
        }
        Ok(Err(_)) => Err(ApiError::new(Code::InvalidRequest, "the body broke off")),
        Err(_) => Err(ApiError::new(Code::InvalidRequest, "the body did not arrive within 15 s")),
    }
}

impl From<HookRefused> for ApiError {
    fn from(refused: HookRefused) -> Self {
        match refused {
            HookRefused::Unsigned(why) => Self::new(Code::InvalidSignature, why),
            HookRefused::Query(error) => Self::new(Code::InvalidRequest, error.to_string()),
            HookRefused::Unread(error) => Self::new(Code::InvalidRequest, error.to_string()),
            HookRefused::KeysAway(error) => Self::unavailable("the webhook keys cannot be had", error),
            HookRefused::NotConfigured(_) => Self::new(Code::Unavailable, refused.to_string()).retry_after(60),
        }
    }
}
