//! `Repr-Digest` and `Want-Repr-Digest` (RFC 9530): what a whole representation
//! hashes to, whichever part of it an answer carries.

use data_encoding::{BASE64, HEXLOWER};
use http::{HeaderMap, HeaderName, HeaderValue};

pub const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const WANT_REPR_DIGEST: HeaderName = HeaderName::from_static("want-repr-digest");

/// The field's value for bytes of this lower-case hex SHA-256.
pub(super) fn of_sha256(hex: &str) -> Option<HeaderValue> {
    let bytes = HEXLOWER.decode(hex.as_bytes()).ok().filter(|bytes| bytes.len() == 32)?;
    HeaderValue::try_from(format!("sha-256=:{}:", BASE64.encode(&bytes))).ok()
}

/// Whether the request lets a SHA-256 pass. It is sent unasked, too; only a
/// weight of 0 refuses it. Algorithms that are not known here, and a field that
/// cannot be read, count for nothing.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let mut weight = None;
    for line in headers.get_all(WANT_REPR_DIGEST) {
        let Ok(line) = line.to_str() else { return true };
        for member in line.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            let value = member.split_once('=').map(|(name, value)| (name, value.split(';').next().unwrap_or_default()));
            let Some((name, Ok(value))) = value.map(|(name, value)| (name, value.trim_end().parse::<i64>())) else {
                return true;
            };
            if name == "sha-256" {
                // Of two the last counts (RFC 8941, 3.2).
                weight = Some(value);
            }
        }
    }
    weight != Some(0)
}
