//! JSON bodies: an object, or nothing where the operation says so.
//!
//! serde alone would take an array of the fields' values for a struct.

use std::fmt;

use axum::{
    Json,
    body::Body,
    extract::{FromRequest, OptionalFromRequest, Request, rejection::JsonRejection},
    http::{StatusCode, header},
};
use clipkeep_core::problem::Code;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{
    AppState,
    auth::{self, Schemes},
    error::ApiError,
    read_body::{Grow as _, content_length, read_body},
};
use crate::shares::Share;

const MAX_BODY: u64 = 2 * 1024 * 1024;

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

/// A body that is a JSON object with these fields, and the room that it takes
/// until it goes.
pub(super) struct JsonObject<T> {
    pub(super) body: T,
    _room: Share,
}

impl<T: DeserializeOwned> FromRequest<AppState> for JsonObject<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, ApiError> {
        let (request, room) = gathered(request, app).await?;
        let body = <Json<Fields> as FromRequest<_>>::from_request(request, app);
        let Json(fields) = body.await.map_err(refused)?;
        read(fields, room)
    }
}

impl<T: DeserializeOwned> OptionalFromRequest<AppState> for JsonObject<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &AppState) -> Result<Option<Self>, ApiError> {
        let (request, room) = gathered(request, app).await?;
        let body = <Json<Option<Fields>> as OptionalFromRequest<_>>::from_request(request, app);
        let fields = body.await.map_err(refused)?.and_then(|Json(fields)| fields);
        fields.map(|fields| read(fields, room)).transpose()
    }
}

/// The request with all of its body, as its caller has room for that and for what
/// is read of it, and if it comes within `body_timeout`. What says that it is no
/// JSON is not read at all.
async fn gathered(request: Request, app: &AppState) -> Result<(Request, Share), ApiError> {
    let caller = auth::caller(app, request.headers(), Schemes::Bearer).await?;
    let mut room = app.bodies.enter(caller.tenant());
    let (parts, body) = request.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.to_ascii_lowercase().contains("json") {
        return Ok((Request::from_parts(parts, Body::empty()), room));
    }
    let patience = app.config.body_timeout;
    let text = read_body(&mut room, body, (MAX_BODY, "2 MiB"), content_length(&parts.headers));
    let text = tokio::time::timeout(patience, text).await.map_err(|_| {
        ApiError::new(Code::RequestTimeout, format!("the body did not arrive within {patience:?} (body_timeout)"))
    })??;
    let weight = weight(&text);
    if !app.bodies.ever_has(caller.tenant(), weight + text.len() as u64) {
        return Err(ApiError::new(Code::TooLarge, "the body holds too many values"));
    }
    room.more(weight).await?;
    Ok((Request::from_parts(parts, Body::from(text)), room))
}

/// About how much memory a JSON text takes once it is read, beside itself: a map
/// with one member takes more than half a KiB.
fn weight(json: &[u8]) -> u64 {
    const VALUE: u64 = 64;
    const MAP: u64 = 640;
    let (mut in_text, mut is_escaped, mut weight) = (false, false, 0);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b',' | b'[' => weight += VALUE,
            b'{' => weight += MAP,
            _ => {}
        }
    }
    weight
}

fn refused(rejection: JsonRejection) -> ApiError {
    let code = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        _ => Code::InvalidRequest,
    };
    ApiError::new(code, rejection.body_text())
}

fn read<T: DeserializeOwned>(Fields(fields): Fields, room: Share) -> Result<JsonObject<T>, ApiError> {
    let read = serde_json::from_value(Value::Object(fields));
    read.map(|body| JsonObject { body, _room: room })
        .map_err(|error| ApiError::new(Code::InvalidRequest, format!("the body: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h07_what_a_text_weighs_goes_by_its_values_and_not_by_what_it_quotes() {
        assert_eq!(weight(br#""[[[,,,{{{""#), 0);
        assert_eq!(weight(br#"{"a\\": [1, 2], "b\"[,": {}}"#), 2 * 640 + 3 * 64);
        let many = "{\"a\":".repeat(100_000);
        assert_eq!(weight(many.as_bytes()), 64_000_000);
    }
}
