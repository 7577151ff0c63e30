//! JSON bodies: an object, or nothing where the operation says so.
//!
//! serde alone would take an array of the fields' values for a struct.

use std::fmt;

use axum::{
    Json,
    extract::{FromRequest, OptionalFromRequest, Request, rejection::JsonRejection},
    http::StatusCode,
};
use clipkeep_core::problem::Code;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{AppState, error::ApiError};

/// An object's fields. One that is there twice is refused: readers would differ
/// on which counts.
struct Fields(Map<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Fields, A::Error> {
                let mut fields = Map::new();
                while let Some((name, value)) = members.next_entry::<String, Value>()? {
                    if fields.insert(name, value).is_some() {
                        return Err(A::Error::custom("a field is there more than once"));
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// A body that is a JSON object with these fields.
pub(super) struct JsonObject<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<AppState> for JsonObject<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, ApiError> {
        let body = <Json<Fields> as FromRequest<_>>::from_request(request, app);
        let Json(fields) = in_time(app, body).await?.map_err(refused)?;
        read(fields)
    }
}

impl<T: DeserializeOwned> OptionalFromRequest<AppState> for JsonObject<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &AppState) -> Result<Option<Self>, ApiError> {
        let body = <Json<Option<Fields>> as OptionalFromRequest<_>>::from_request(request, app);
        in_time(app, body).await?.map_err(refused)?.and_then(|Json(fields)| fields).map(read).transpose()
    }
}

/// What comes of reading a body, if it comes within `body_timeout`.
async fn in_time<T>(app: &AppState, reading: impl Future<Output = T>) -> Result<T, ApiError> {
    let patience = app.config.body_timeout;
    tokio::time::timeout(patience, reading).await.map_err(|_| {
        ApiError::new(Code::RequestTimeout, format!("the body did not arrive within {patience:?} (body_timeout)"))
    })
}

fn refused(rejection: JsonRejection) -> ApiError {
    let code = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        _ => Code::InvalidRequest,
    };
    ApiError::new(code, rejection.body_text())
}

fn read<T: DeserializeOwned>(Fields(fields): Fields) -> Result<JsonObject<T>, ApiError> {
    let read = serde_json::from_value(Value::Object(fields));
    read.map(JsonObject).map_err(|error| ApiError::new(Code::InvalidRequest, format!("the body: {error}")))
}
