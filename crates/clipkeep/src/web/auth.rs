//! Who may use the API.

use axum::{
    extract::{FromRequestParts, State},
    http::{header, request::Parts},
};

use super::{AppState, error::ApiError};
use clipkeep_core::problem::Code;

/// Proof that the request carries the admin token.
pub(super) struct Admin;

impl FromRequestParts<AppState> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let State(app): State<AppState> = State(state.clone());
        let given = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = given.and_then(bearer).unwrap_or_default();
        if app.is_admin(token) {
            return Ok(Self);
        }
        Err(ApiError::new(
            Code::Unauthorized,
            "send the admin token as «Authorization: Bearer …»; `clipkeep token` prints it",
        ))
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
