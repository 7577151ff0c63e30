//! Who may use the API.

use std::net::IpAddr;

use axum::{
    extract::{FromRequestParts, State},
    http::{HeaderMap, header, request::Parts},
};
use clipkeep_core::{id::Tenant, problem::Code, secret::Secret};
use ring::digest::{SHA256, digest};

use super::{AppState, browser, error::ApiError};
use crate::{app::App, auth::Caller};

/// What may stand before a token in `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schemes {
    /// `Bearer`.
    Bearer,
    /// `Bearer`, or `Key` as fal's clients write it.
    BearerOrKey,
}

/// Who calls, by the token in `Authorization`.
pub(super) async fn caller(app: &App, headers: &HeaderMap, schemes: Schemes) -> Result<Caller, ApiError> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = given.and_then(|value| token(value, schemes)).unwrap_or_default();
    app.auth.authenticate(token).await?.ok_or_else(|| {
        ApiError::new(
            Code::Unauthorized,
            "send a token as «Authorization: Bearer …»; `clipkeep token` prints the admin's, `clipkeep token create` makes one",
        )
    })
}

fn token(value: &str, schemes: Schemes) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let is_key = schemes == Schemes::BearerOrKey && scheme.eq_ignore_ascii_case("key");
    (is_key || scheme.eq_ignore_ascii_case("bearer")).then(|| token.trim())
}

/// Who may call fal through us, at our cost: whoever has a token or the fal key
/// itself, and whoever calls from one of `proxy_networks`, if no browser is made
/// to. Answers the one tenant that may be spoken for, if it is only one.
pub(super) async fn fal_caller(app: &App, headers: &HeaderMap, peer: IpAddr) -> Result<Option<Tenant>, ApiError> {
    if has_fal_key(app, headers) {
        return Ok(None);
    }
    let is_open = || app.config.proxy_networks.iter().any(|network| network.holds(peer));
    match caller(app, headers, Schemes::BearerOrKey).await {
        Ok(Caller::Admin) => Ok(None),
        Ok(Caller::Tenant(tenant)) => Ok(Some(tenant)),
        // What else stands there is another service's, which the app passes on.
        Err(error) if error.code() == Code::Unauthorized && is_open() => {
            browser::refuse(headers, &app.config).map(|()| None)
        }
        Err(error) => Err(error),
    }
}

/// Whether the configured fal key is shown: who has it can spend its money
/// without us.
fn has_fal_key(app: &App, headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = given.and_then(|value| token(value, Schemes::BearerOrKey)).unwrap_or_default();
    let is_it = |key: &Secret<String>| {
        // Of equal length, so that time tells nothing of the key.
        let hash = |text: &str| digest(&SHA256, text.as_bytes());
        !shown.is_empty() && hash(shown).as_ref() == hash(key.expose()).as_ref()
    };
    app.config.fal_key.as_ref().is_some_and(is_it)
}

/// Who calls, as a handler takes it.
pub(super) struct Authenticated(pub(super) Caller);

impl FromRequestParts<AppState> for Authenticated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let State(app): State<AppState> = State(state.clone());
        caller(&app, &parts.headers, Schemes::Bearer).await.map(Self)
    }
}

/// Proof that the admin calls.
pub(super) struct Admin;

impl FromRequestParts<AppState> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        match Authenticated::from_request_parts(parts, state).await? {
            Authenticated(Caller::Admin) => Ok(Self),
            Authenticated(Caller::Tenant(_)) => Err(ApiError::new(Code::Forbidden, "only an admin token may do this")),
        }
    }
}
