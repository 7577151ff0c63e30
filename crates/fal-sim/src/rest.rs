//! Storage and tokens: where an upload begins, and what lets a browser in.

use std::collections::HashSet;

use axum::{
    Json,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use chrono::DateTime;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{
    api::{self, Asked, detail},
    server::Sim,
};

/// How long a storage token lives.
const STORAGE_TOKEN_SECS: i64 = 3600;

/// The tokens that were issued.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashSet<String>>);

impl Tokens {
    pub(crate) fn holds(&self, token: &str) -> bool {
        self.0.lock().contains(token)
    }
}

pub(crate) async fn answer(sim: &Sim, asked: Asked) -> Response {
    if asked.method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let (path, storage_type) = (asked.path.clone(), asked.query.get("storage_type").cloned());
    let body = match api::input(asked).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    match path.trim_matches('/') {
        "tokens" => token(sim, &body),
        "storage/auth/token" => storage_token(sim),
        "storage/upload/initiate" => initiate(sim, &body, storage_type.as_deref(), false),
        "storage/upload/initiate-multipart" => initiate(sim, &body, storage_type.as_deref(), true),
        "storage/upload/complete-multipart" => complete(sim, &body),
        _ => detail(StatusCode::NOT_FOUND, "Not Found"),
    }
}

/// A field that is missing, as fal says it.
fn missing(field: &str) -> Response {
    let detail = json!([{"loc": ["body", field], "msg": "field required", "type": "missing"}]);
    (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"detail": detail}))).into_response()
}

/// A realtime token: the answer is a JSON string, nothing around it.
fn token(sim: &Sim, body: &Value) -> Response {
    if !body["allowed_apps"].as_array().is_some_and(|apps| apps.iter().all(Value::is_string)) {
        return missing("allowed_apps");
    }
    let token = format!("eyJhbGciOiJIUzI1NiJ9.{}.sim", sim.next_id());
    sim.api().tokens.0.lock().insert(token.clone());
    Json(token).into_response()
}

fn storage_token(sim: &Sim) -> Response {
    let expires_at = DateTime::from_timestamp(sim.now_secs() + STORAGE_TOKEN_SECS, 0).unwrap_or_default();
    Json(json!({
        "token": sim.next_id(), "token_type": "Bearer", "base_url": sim.media_url(),
        "expires_at": expires_at.to_rfc3339(),
    }))
    .into_response()
}

fn initiate(sim: &Sim, body: &Value, storage_type: Option<&str>, multipart: bool) -> Response {
    if !matches!(storage_type, Some("fal-cdn-v3" | "gcs")) {
        return detail(StatusCode::UNPROCESSABLE_ENTITY, "unknown storage_type");
    }
    let Some(content_type) = body["content_type"].as_str() else { return missing("content_type") };
    let file_name = body["file_name"].as_str().unwrap_or("file.bin");
    let (upload_url, file_url) = sim.open_upload(content_type, file_name, multipart);
    Json(json!({"upload_url": upload_url, "file_url": file_url})).into_response()
}

/// The body of this call is documented nowhere: it is read as `complete` of the
/// upload itself, with the file's URL beside the parts.
fn complete(sim: &Sim, body: &Value) -> Response {
    match body["file_url"].as_str() {
        Some(file_url) => sim.complete_upload(file_url, body),
        None => missing("file_url"),
    }
}
