//! Which headers pass, there and back.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Deserialize;

/// Says where a call shall go. Not passed on.
pub const TARGET_HEADER: &str = "x-fal-target-url";
/// Says whose generation it is. Not passed on.
pub const TENANT_HEADER: &str = "x-clipkeep-tenant";

/// Besides what begins with one of [`PREFIXES`].
const PASSED: &[HeaderName] = &[header::ACCEPT, header::CONTENT_TYPE, header::USER_AGENT];
const PREFIXES: &[&str] = &["x-fal-", "x-app-fal-"];

/// What belongs to a connection (RFC 9110, 7.6.1), or to the host that sets it.
const KEPT_BACK: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "set-cookie",
    "alt-svc",
    "strict-transport-security",
];

const LIFETIME: &str = "x-fal-object-lifecycle-preference";

/// The headers of a call that fal gets to see: no cookie, no credential, no
/// address of whoever calls.
pub fn request_headers(given: &HeaderMap) -> HeaderMap {
    let of_connection = named_by_connection(given);
    let mut passed = HeaderMap::new();
    for (name, value) in given {
        let is_fals = PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix));
        let is_meant = (is_fals || PASSED.contains(name)) && name != TARGET_HEADER;
        if is_meant && !of_connection.iter().any(|other| name == other.as_str()) {
            passed.append(name, value.clone());
        }
    }
    // A body that is read on its way must not be packed.
    passed.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    passed
}

/// The headers of fal's answer that the app gets to see.
pub fn reply_headers(given: &HeaderMap) -> HeaderMap {
    let named = named_by_connection(given);
    let mut passed = HeaderMap::new();
    for (name, value) in given {
        if !KEPT_BACK.contains(&name.as_str()) && !named.iter().any(|other| name == other.as_str()) {
            passed.append(name, value.clone());
        }
    }
    passed
}

/// The fields that `Connection` says belong to it (RFC 9110, section 7.6.1).
fn named_by_connection(given: &HeaderMap) -> Vec<String> {
    given
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect()
}

#[derive(Deserialize)]
struct Lifecycle {
    expiration_duration_seconds: Option<u64>,
}

/// How long the outputs of a call shall live, where its headers say so.
pub fn lifetime(given: &HeaderMap) -> Option<Duration> {
    let text = given.get(LIFETIME)?.to_str().ok()?;
    let lifecycle: Lifecycle = serde_json::from_str(text).ok()?;
    lifecycle.expiration_duration_seconds.map(Duration::from_secs)
}
