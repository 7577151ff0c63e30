//! JSON bodies: an object, or nothing where the operation says so.
//!
//! serde alone would take an array of the fields' values for a struct.

use axum::{
    Json,
    extract::{FromRequest, OptionalFromRequest, Request, rejection::JsonRejection},
    http::StatusCode,
};
use clipkeep_core::problem::Code;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{AppState, error::ApiError};

/// A body that is a JSON object with these fields.
pub(super) struct JsonObject<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<AppState> for JsonObject<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, ApiError> {
        let body = <Json<Map<String, Value>> as FromRequest<_>>::from_request(request, app).await;
        let Json(fields) = body.map_err(refused)?;
        read(fields)
    }
}

impl<T: DeserializeOwned> OptionalFromRequest<AppState> for JsonObject<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &AppState) -> Result<Option<Self>, ApiError> {
        let body = <Json<Option<Map<String, Value>>> as OptionalFromRequest<_>>::from_request(request, app).await;
        body.map_err(refused)?.and_then(|Json(fields)| fields).map(read).transpose()
    }
}

fn refused(rejection: JsonRejection) -> ApiError {
    let code = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        _ => Code::InvalidRequest,
    };
    ApiError::new(code, rejection.body_text())
}

fn read<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<JsonObject<T>, ApiError> {
    let read = serde_json::from_value(Value::Object(fields));
    read.map(JsonObject).map_err(|error| ApiError::new(Code::InvalidRequest, format!("the body: {error}")))
}
