//! The platform API, as far as storage goes: signed URLs of files that an access
//! control list keeps from everybody but their account.

use axum::{
    Json,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    api::{self, Asked, detail},
    server::Sim,
};

/// The longest that a signature may live.
const LONGEST_SECS: u64 = 604_800;

pub(crate) async fn answer(sim: &Sim, asked: Asked) -> Response {
    if asked.path.trim_matches('/') != "v1/storage/files/sign" {
        return detail(StatusCode::NOT_FOUND, "Not Found");
    }
    if asked.method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let url = asked.query.get("url").cloned().unwrap_or_default();
    let body = match api::input(asked).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let seconds = body["expiration_seconds"].as_u64().unwrap_or_default();
    if !(1..=LONGEST_SECS).contains(&seconds) || url.contains('?') {
        return detail(StatusCode::UNPROCESSABLE_ENTITY, "no such options, or a URL with a query");
    }
    match sim.sign_file(&url) {
        Some(signed_url) => Json(json!({"signed_url": signed_url})).into_response(),
        None => detail(StatusCode::NOT_FOUND, "no such file"),
    }
}
