//! `POST /hooks/fal`: verify, commit, answer. The download never happens here.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use clipkeep_core::{
    hook::{
        HookQuery, QueryError,
        fal::{self, HookError, SignedHeaders},
        source_lifetime,
    },
    problem::Code,
};
use http_body_util::{BodyExt, Limited};
use serde_json::json;
use tokio::time::Instant;

use super::{AppState, error::ApiError};
use crate::catalog::HookOutcome;

/// How long a sender may take over its body (fal gives up after 15 s itself).
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// Receives fal's signed webhook.
///
/// 200 leaves only after generation, clips and work are durable. Duplicates
/// change nothing and get 200 too. The query of the hook URL may carry `model`,
/// `prompt` or `prompt_hash`, `tenant`, `policy`, `public` and `source_lifetime`
/// (seconds).
#[utoipa::path(
    post, path = "/hooks/fal", tag = "hooks",
    request_body(content = String, content_type = "application/json", description = "fal's webhook body, or {request_id, result}"),
    responses(
        (status = 200, description = "Kept; or a duplicate of what was kept"),
        (status = 401, description = "Not signed by fal, altered, or too old"),
        (status = 413, description = "Larger than hook_max_body"),
        (status = 422, description = "Signed, but not understood"),
        (status = 503, description = "Not kept: send it again"),
    )
)]
pub(super) async fn receive_fal(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let began = Instant::now();
    let result = receive(&app, query.as_deref().unwrap_or_default(), &headers, body).await;
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

async fn receive(app: &AppState, query: &str, headers: &HeaderMap, body: Body) -> Result<HookOutcome, ApiError> {
    let refuse = |error: HookError| ApiError::new(Code::InvalidSignature, error.to_string());
    // The cheap half first: a stranger's body is not even read.
    let signed = SignedHeaders::read(headers, app.clock.now(), app.config.hook_tolerance).map_err(refuse)?;
    let body = read(body, app.config.hook_max_body).await?;
    let request_id = verify(app, &signed, &body).await?;
    let bad = |error: QueryError| ApiError::new(Code::InvalidRequest, error.to_string());
    let source_lifetime = source_lifetime(query).map_err(bad)?;
    let query = HookQuery::parse(query).map_err(bad)?;
    let decoded = fal::decode(&body, Some(&request_id), &query, app.clock.now())
        .map_err(|e| ApiError::new(Code::InvalidRequest, e.to_string()))?;
    for note in &decoded.notes {
        tracing::info!(request_id, slot = note.slot, reason = note.reason, "a file of the payload became no clip");
    }
    let record = app.complete_record(decoded.record.with_source_lifetime(source_lifetime));
    Ok(app.hooks.record(record).await?)
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

/// Checks the signature against the cached keys, then once against fresh ones.
/// Answers the request id that was signed.
async fn verify(app: &AppState, signed: &SignedHeaders<'_>, body: &[u8]) -> Result<String, ApiError> {
    let away = |error| ApiError::unavailable("the webhook keys cannot be had", error);
    let keys = app.jwks.keys().await.map_err(away)?;
    match signed.verify(body, &keys) {
        Ok(verified) => {
            app.jwks.prefer(verified.key_index);
            return Ok(verified.request_id);
        }
        Err(HookError::NoKeyFits) => {}
        Err(error) => return Err(ApiError::new(Code::InvalidSignature, error.to_string())),
    }
    let newer = app.jwks.newer_keys().await.map_err(away)?;
    let verified = signed.verify(body, &newer).map_err(|e| ApiError::new(Code::InvalidSignature, e.to_string()))?;
    Ok(verified.request_id)
}
