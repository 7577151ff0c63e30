//! Receipts of custody, and the public key that checks them.

use axum::{
    Json,
    extract::{Path, State},
    http::header,
    response::IntoResponse,
};
use clipkeep_core::{
    problem::Code,
    receipt::{Receipt, SignedReceipt},
    state::ClipState,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::clips::clip_for;
use crate::{
    receipts::receipt,
    web::{AppState, auth::Authenticated, error::ApiError},
};

/// A signed receipt: a JSON Web Signature in flattened form.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReceiptAnswer {
    /// What the payload says, for people; docs/receipts.md has its fields.
    #[schema(value_type = Object)]
    receipt: Receipt,
    /// The JWS header, base64url: `alg` (`EdDSA`), `kid`, `typ`.
    protected: String,
    /// What is signed, to the byte, base64url.
    payload: String,
    /// The Ed25519 signature of `protected`, a dot, and `payload`, base64url.
    signature: String,
}

/// The receipt of a stored clip: that its bytes are those its source gave.
#[utoipa::path(get, path = "/api/v1/clips/{key}/receipt", tag = "clips", params(("key" = String, Path, description = "The clip's key")),
    security(("token" = [])),
    responses((status = 200, body = ReceiptAnswer), (status = 401, description = "No valid token"), (status = 404, description = "No such clip"),
        (status = 409, description = "The clip is not stored yet"), (status = 410, description = "The clip is lost, rejected or deleted")))]
pub(crate) async fn get_receipt(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    Path(key): Path<String>,
) -> Result<Json<ReceiptAnswer>, ApiError> {
    let clip = clip_for(&caller, &app, &key).await?;
    let (key, state) = (clip.key.clone(), clip.state);
    let history = app.catalog.history(&key).await?;
    let receipt = receipt(clip, &history, &app.store, &app.config, app.clock.now());
    let receipt = receipt.ok_or_else(|| match state {
        ClipState::Lost | ClipState::Rejected | ClipState::Deleted => {
            ApiError::new(Code::Gone, format!("{key} is {state}"))
        }
        _ => ApiError::new(Code::Conflict, format!("{key} is {state}: there is a receipt once it is stored")),
    })?;
    let SignedReceipt { receipt, protected, payload, signature } = app.receipts.sign(receipt);
    Ok(Json(ReceiptAnswer { receipt, protected, payload, signature }))
}

/// The public key that checks receipts, as a JSON Web Key Set.
#[utoipa::path(get, path = "/.well-known/clipkeep-receipts.json", tag = "clips",
    responses((status = 200, description = "A JSON Web Key Set", content_type = "application/jwk-set+json", body = Object)))]
pub(crate) async fn receipt_keys(State(app): State<AppState>) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "application/jwk-set+json"),
        (header::CACHE_CONTROL, "public, max-age=300"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    (headers, app.receipts.jwks().to_string())
}
