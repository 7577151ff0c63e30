//! Signing what clipkeep tells apps, as Standard Webhooks lay down. (What is
//! told to clipkeep in that form is checked in `hook/standard`.)
//!
//! The signature covers the message's id, the time of this attempt and the raw
//! body, so a receiver can tell a forged, an altered and an old message.

use std::{fmt, str::FromStr};

use data_encoding::{BASE64, BASE64_NOPAD};
use ring::hmac;

use crate::time::Timestamp;

/// What a shared secret's text starts with.
const PREFIX: &str = "whsec_";

/// How many bytes a secret may have.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// Why a secret was refused. Fit for a user: it does not quote the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be whsec_ and 24 to 64 bytes in base64")]
pub struct EventSecretError;

/// The secret that endpoints share with us, ready for use. `Debug` redacts it.
#[derive(Clone)]
pub struct EventSecret(hmac::Key);

impl EventSecret {
    /// The text of a secret of these bytes.
    pub fn text(bytes: &[u8]) -> String {
        format!("{PREFIX}{}", BASE64.encode(bytes))
    }

    /// The value of `webhook-signature` for a message: its id, the time of this
    /// attempt, and the body byte by byte as it is sent.
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let signed_head = format!("{id}.{}.", at.secs());
        format!("v1,{}", BASE64.encode(self.tag(&[signed_head.as_bytes(), body]).as_ref()))
    }

    /// The tag of a message in pieces.
    pub(crate) fn tag(&self, message: &[&[u8]]) -> hmac::Tag {
        let mut signing = hmac::Context::with_key(&self.0);
        message.iter().for_each(|piece| signing.update(piece));
        signing.sign()
    }
}

impl FromStr for EventSecret {
    type Err = EventSecretError;

    fn from_str(text: &str) -> Result<Self, EventSecretError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(EventSecretError)?.as_bytes();
        let decoded = BASE64.decode(encoded).or_else(|_| BASE64_NOPAD.decode(encoded));
        let bytes = decoded.ok().filter(|bytes| LENGTHS.contains(&bytes.len())).ok_or(EventSecretError)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

impl fmt::Debug for EventSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn the_vector_is_met() {
        let secret: EventSecret = SECRET.parse().unwrap();
        let at = Timestamp::from_millis(1_784_206_014_999);
        let signature = secret.sign("msg_test_1", at, br#"{"id":"p1","status":"succeeded"}"#);
        assert_eq!(signature, "v1,7+XtuuUCWEv8gJu/wCrbXKoa6vHa5qvBQE+gJlbrJFo=");
        assert_eq!(EventSecret::text(&(0..32).collect::<Vec<u8>>()), SECRET);
    }

    #[test]
    fn what_is_no_secret_is_refused_and_never_shown() {
        let of = |len: usize| EventSecret::text(&vec![7; len]);
        for bad in ["", "whsec_", "whsec_%%%", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", &of(23), &of(65)] {
            assert_eq!(bad.parse::<EventSecret>().unwrap_err(), EventSecretError, "{bad}");
        }
        for len in [24, 25, 64] {
            let text = of(len);
            assert!(text.parse::<EventSecret>().is_ok() && text.trim_end_matches('=').parse::<EventSecret>().is_ok());
        }
        assert_eq!(format!("{:?}", SECRET.parse::<EventSecret>().unwrap()), "[secret]");
    }
}
