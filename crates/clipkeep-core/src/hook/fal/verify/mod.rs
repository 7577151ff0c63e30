//! The signature of a fal webhook: Ed25519 over the request id, the user id,
//! the timestamp and the raw body's SHA-256, against any key of fal's set.

use std::time::Duration;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use http::{HeaderMap, HeaderValue};
use ring::{
    digest::{SHA256, digest},
    signature::{ED25519, UnparsedPublicKey},
};

use crate::{hook::jwks::JwksKey, time::Timestamp};

const REQUEST_ID: &str = "x-fal-webhook-request-id";
const USER_ID: &str = "x-fal-webhook-user-id";
const TIMESTAMP: &str = "x-fal-webhook-timestamp";
const SIGNATURE: &str = "x-fal-webhook-signature";

/// Why a webhook is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// One of the four headers is absent. 401.
    #[error("the {0} header is missing")]
    MissingHeader(&'static str),
    /// One of the four headers is there twice: which one was signed? 401.
    #[error("the {0} header is there more than once")]
    RepeatedHeader(&'static str),
    /// The request id holds what no request id can. 401.
    #[error("the {REQUEST_ID} header is not readable")]
    BadRequestId,
    /// The timestamp is no decimal number of seconds. 401.
    #[error("the {TIMESTAMP} header is not a number of seconds")]
    BadTimestamp,
    /// The timestamp is too far from our clock, before or after. 401.
    #[error("the webhook's timestamp is too far from the current time")]
    Stale,
    /// The signature is not 128 hex digits. 401.
    #[error("the {SIGNATURE} header is not 128 hex digits")]
    BadSignatureForm,
    /// No key fits: altered, forged, or the keys were rotated. The caller
    /// fetches the key set once more before it answers 401.
    #[error("the signature fits none of the provider's keys")]
    NoKeyFits,
}

/// The four headers in good form and fresh; whether they are true is still open.
#[derive(Debug)]
pub struct SignedHeaders<'a> {
    request_id: &'a str,
    user_id: &'a HeaderValue,
    timestamp: &'a str,
    signature: [u8; 64],
}

/// A webhook that fal sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The request id of the headers. It is signed; the body must name the same.
    pub request_id: String,
    /// Whose generation it is: the account, as fal names it.
    pub user_id: Vec<u8>,
    /// Which of the given keys fitted.
    pub key_index: usize,
}

/// Checks headers and body in one go: [`SignedHeaders::read`], then
/// [`SignedHeaders::verify`].
pub fn verify(
    headers: &HeaderMap,
    body: &[u8],
    keys: &[JwksKey],
    now: Timestamp,
    tolerance: Duration,
) -> Result<Verified, HookError> {
    SignedHeaders::read(headers, now, tolerance)?.verify(body, keys)
}

impl<'a> SignedHeaders<'a> {
    /// The cheap half: all that can be told without the body. A timestamp is
    /// fresh up to and including `tolerance` in whole seconds, in both directions.
    pub fn read(headers: &'a HeaderMap, now: Timestamp, tolerance: Duration) -> Result<Self, HookError> {
        let request_id = only(headers, REQUEST_ID)?;
        let user_id = only(headers, USER_ID)?;
        let timestamp = only(headers, TIMESTAMP)?;
        let signature = only(headers, SIGNATURE)?;
        let timestamp = timestamp.to_str().map_err(|_| HookError::BadTimestamp)?;
        if seconds(timestamp)?.abs_diff(now.secs()) > tolerance.as_secs() {
            return Err(HookError::Stale);
        }
        Ok(Self {
            request_id: request_id.to_str().map_err(|_| HookError::BadRequestId)?,
            user_id,
            timestamp,
            signature: signature_bytes(signature)?,
        })
    }

    /// The costly half: tries every key on the raw body, as it came over the wire.
    pub fn verify(&self, body: &[u8], keys: &[JwksKey]) -> Result<Verified, HookError> {
        let message = self.message(body);
        let fits =
            |key: &JwksKey| UnparsedPublicKey::new(&ED25519, key.public).verify(&message, &self.signature).is_ok();
        let key_index = keys.iter().position(fits).ok_or(HookError::NoKeyFits)?;
        let user_id = self.user_id.as_bytes().to_vec();
        Ok(Verified { request_id: self.request_id.to_owned(), user_id, key_index })
    }

    fn message(&self, body: &[u8]) -> Vec<u8> {
        let body_hash = HEXLOWER.encode(digest(&SHA256, body).as_ref());
        let parts: [&[u8]; 4] =
            [self.request_id.as_bytes(), self.user_id.as_bytes(), self.timestamp.as_bytes(), body_hash.as_bytes()];
        parts.join(&b'\n')
    }
}

fn only<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a HeaderValue, HookError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(HookError::MissingHeader(name))?;
    match values.next() {
        None => Ok(value),
        Some(_) => Err(HookError::RepeatedHeader(name)),
    }
}

/// Strictly decimal: no sign, no white space, no fraction.
fn seconds(text: &str) -> Result<i64, HookError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(HookError::BadTimestamp);
    }
    text.parse().map_err(|_| HookError::BadTimestamp)
}

fn signature_bytes(value: &HeaderValue) -> Result<[u8; 64], HookError> {
    if value.len() != 128 {
        return Err(HookError::BadSignatureForm);
    }
    let bytes = HEXLOWER_PERMISSIVE.decode(value.as_bytes()).map_err(|_| HookError::BadSignatureForm)?;
    bytes.try_into().map_err(|_| HookError::BadSignatureForm)
}

#[cfg(test)]
mod tests;
