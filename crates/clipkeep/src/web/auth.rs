//! Who may use the API.

use std::net::IpAddr;

use axum::{
    extract::{FromRequestParts, State},
    http::{HeaderMap, header, request::Parts},
};
use clipkeep_core::{id::Tenant, problem::Code};

use super::{AppState, error::ApiError};
use crate::app::App;

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

/// Who may call fal through us, at our cost: whoever has a token, and whoever
/// calls from one of `proxy_networks`. Answers the one tenant that may be spoken
/// for, if it is only one.
pub(super) async fn fal_caller(app: &App, headers: &HeaderMap, peer: IpAddr) -> Result<Option<Tenant>, ApiError> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if app.is_admin(given.and_then(bearer_or_key).unwrap_or_default()) {
        return Ok(None);
    }
    if app.config.proxy_networks.iter().any(|network| network.holds(peer)) {
        return Ok(None);
    }
    Err(ApiError::new(Code::Unauthorized, "send a token of clipkeep's as «Authorization: Key …» or «Bearer …»"))
}

/// fal's clients say `Key` before what they take for fal's.
fn bearer_or_key(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("key").then(|| token.trim()).or_else(|| bearer(value))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
