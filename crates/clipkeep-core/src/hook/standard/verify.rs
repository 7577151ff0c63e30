//! The signature of a Standard Webhook: HMAC-SHA256 (`v1`) or Ed25519 (`v1a`)
//! over the message's id, its timestamp and the raw body.

use std::time::Duration;

use data_encoding::{BASE64, BASE64_NOPAD};
use http::{HeaderMap, HeaderValue};
use ring::signature::{ED25519, UnparsedPublicKey};

use super::WebhookKey;
use crate::time::Timestamp;

/// The headers of the standard, and those of before it.
const FAMILIES: [Family; 2] = [
    Family { id: "webhook-id", timestamp: "webhook-timestamp", signature: "webhook-signature" },
    Family { id: "svix-id", timestamp: "svix-timestamp", signature: "svix-signature" },
];

/// More signatures than this are not looked at: a sender that rotates its keys
/// sends two.
const MAX_SIGNATURES: usize = 16;

struct Family {
    id: &'static str,
    timestamp: &'static str,
    signature: &'static str,
}

/// Why a webhook is not believed. All 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// One of the three headers is absent.
    #[error("the {0} header is missing")]
    MissingHeader(&'static str),
    /// One of the three headers is there twice: which one was signed?
    #[error("the {0} header is there more than once")]
    RepeatedHeader(&'static str),
    /// The timestamp is no decimal number of seconds.
    #[error("the webhook's timestamp is not a number of seconds")]
    BadTimestamp,
    /// The timestamp is too far from our clock, before or after.
    #[error("the webhook's timestamp is too far from the current time")]
    Stale,
    /// None of the signatures is of a form that is known.
    #[error("the webhook's signature is neither v1 nor v1a")]
    BadSignatureForm,
    /// No key fits: altered, forged, or signed with a key that is not known.
    #[error("the signature fits none of the keys")]
    NoKeyFits,
}

/// The three headers in good form and fresh; whether they are true is still open.
#[derive(Debug)]
pub struct SignedHeaders<'a> {
    id: &'a [u8],
    timestamp: &'a [u8],
    signatures: Vec<Signature>,
}

#[derive(Debug)]
enum Signature {
    V1(Vec<u8>),
    V1a(Vec<u8>),
}

impl<'a> SignedHeaders<'a> {
    /// The cheap half: all that can be told without the body. A timestamp is
    /// fresh up to and including `tolerance` in whole seconds, in both directions.
    pub fn read(headers: &'a HeaderMap, now: Timestamp, tolerance: Duration) -> Result<Self, SignatureError> {
        let [standard, svix] = &FAMILIES;
        let family = if headers.contains_key(standard.id) || !headers.contains_key(svix.id) { standard } else { svix };
        let id = only(headers, family.id)?;
        let timestamp = only(headers, family.timestamp)?;
        let signature = only(headers, family.signature)?;
        if seconds(timestamp)?.abs_diff(now.secs()) > tolerance.as_secs() {
            return Err(SignatureError::Stale);
        }
        let signatures: Vec<Signature> =
            signature.as_bytes().split(|byte| *byte == b' ').take(MAX_SIGNATURES).filter_map(read_signature).collect();
        if signatures.is_empty() {
            return Err(SignatureError::BadSignatureForm);
        }
        Ok(Self { id: id.as_bytes(), timestamp: timestamp.as_bytes(), signatures })
    }

    /// The costly half: tries the keys on the raw body, as it came over the
    /// wire. Answers which one fitted.
    pub fn verify<'k>(
        &self,
        body: &[u8],
        keys: impl IntoIterator<Item = &'k WebhookKey>,
    ) -> Result<usize, SignatureError> {
        let message = [self.id, b".", self.timestamp, b".", body];
        keys.into_iter().position(|key| self.fits(key, &message)).ok_or(SignatureError::NoKeyFits)
    }

    fn fits(&self, key: &WebhookKey, message: &[&[u8]]) -> bool {
        match key {
            WebhookKey::Shared(secret) => {
                let tag = secret.tag(message);
                self.signatures.iter().any(|given| matches!(given, Signature::V1(given) if same(given, tag.as_ref())))
            }
            WebhookKey::Public(key) => {
                let given = self.signatures.iter().filter_map(|given| match given {
                    Signature::V1a(given) => Some(given),
                    Signature::V1(_) => None,
                });
                let key = UnparsedPublicKey::new(&ED25519, key);
                let message = message.concat();
                given.into_iter().any(|given| key.verify(&message, given).is_ok())
            }
        }
    }
}

/// Takes as long for any wrong tag of the right length.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

fn read_signature(text: &[u8]) -> Option<Signature> {
    let comma = text.iter().position(|byte| *byte == b',')?;
    let (version, encoded) = (&text[..comma], &text[comma + 1..]);
    let bytes = BASE64.decode(encoded).or_else(|_| BASE64_NOPAD.decode(encoded)).ok()?;
    match version {
        b"v1" => Some(Signature::V1(bytes)),
        b"v1a" => Some(Signature::V1a(bytes)),
        _ => None,
    }
}

fn only<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a HeaderValue, SignatureError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(SignatureError::MissingHeader(name))?;
    match values.next() {
        None => Ok(value),
        Some(_) => Err(SignatureError::RepeatedHeader(name)),
    }
}

/// Strictly decimal: no sign, no white space, no fraction.
fn seconds(value: &HeaderValue) -> Result<i64, SignatureError> {
    let text = value.to_str().map_err(|_| SignatureError::BadTimestamp)?;
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(SignatureError::BadTimestamp);
    }
    text.parse().map_err(|_| SignatureError::BadTimestamp)
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const BODY: &[u8] = br#"{"id":"p1","status":"succeeded"}"#;
    const SIGNATURE: &str = "v1,7+XtuuUCWEv8gJu/wCrbXKoa6vHa5qvBQE+gJlbrJFo=";
    const AT: i64 = 1_784_206_014;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn vector(signature: &str) -> HeaderMap {
        headers(&[("webhook-id", "msg_test_1"), ("webhook-timestamp", "1784206014"), ("webhook-signature", signature)])
    }

    fn check(headers: &HeaderMap, body: &[u8], now: i64, keys: &[&str]) -> Result<usize, SignatureError> {
        let keys: Vec<WebhookKey> = keys.iter().map(|key| key.parse().unwrap()).collect();
        SignedHeaders::read(headers, Timestamp::from_secs(now), Duration::from_secs(300))?.verify(body, &keys)
    }

    fn other() -> String {
        crate::standard_webhook::EventSecret::text(&[9; 32])
    }

    #[test]
    fn the_vector_is_met_whichever_key_and_signature_of_several_it_is() {
        assert_eq!(check(&vector(SIGNATURE), BODY, AT, &[SECRET]), Ok(0));
        assert_eq!(check(&vector(SIGNATURE), BODY, AT, &[&other(), SECRET]), Ok(1), "keys rotate");
        let several = format!("v1,AAAA v2,x v1a,AAAA nonsense {SIGNATURE}");
        assert_eq!(check(&vector(&several), BODY, AT, &[SECRET]), Ok(0));
        let svix = [("svix-id", "msg_test_1"), ("svix-timestamp", "1784206014"), ("svix-signature", SIGNATURE)];
        assert_eq!(check(&headers(&svix), BODY, AT, &[SECRET]), Ok(0));
    }

    #[test]
    fn case_31_what_is_altered_forged_or_signed_for_another_is_not_believed() {
        let none = Err(SignatureError::NoKeyFits);
        assert_eq!(check(&vector(SIGNATURE), BODY, AT, &[&other()]), none);
        assert_eq!(check(&vector(SIGNATURE), BODY, AT, &[]), none);
        assert_eq!(check(&vector(SIGNATURE), &[BODY, b"\n"].concat(), AT, &[SECRET]), none);
        assert_eq!(check(&vector("v1,"), BODY, AT, &[SECRET]), none);
        assert_eq!(check(&vector(&SIGNATURE[..20]), BODY, AT, &[SECRET]), Err(SignatureError::BadSignatureForm));
        assert_eq!(check(&vector(&SIGNATURE.replace("v1,", "v1a,")), BODY, AT, &[SECRET]), none);
        let moved =
            [("webhook-id", "msg_test_2"), ("webhook-timestamp", "1784206014"), ("webhook-signature", SIGNATURE)];
        assert_eq!(check(&headers(&moved), BODY, AT, &[SECRET]), none);
        let late =
            [("webhook-id", "msg_test_1"), ("webhook-timestamp", "1784206015"), ("webhook-signature", SIGNATURE)];
        assert_eq!(check(&headers(&late), BODY, AT, &[SECRET]), none);
        let flood = format!("{}{SIGNATURE}", "v1,AAAA ".repeat(MAX_SIGNATURES));
        assert_eq!(check(&vector(&flood), BODY, AT, &[SECRET]), none);
    }

    #[test]
    fn case_31_the_clock_may_differ_by_the_tolerance_and_no_more() {
        for (skew, ok) in [(0, true), (299, true), (300, true), (301, false), (-299, true), (-301, false)] {
            let said = check(&vector(SIGNATURE), BODY, AT + skew, &[SECRET]);
            assert_eq!(said, if ok { Ok(0) } else { Err(SignatureError::Stale) }, "{skew}");
        }
    }

    #[test]
    fn case_31_headers_are_there_once_and_of_one_family() {
        let read = |pairs: &[(&'static str, &str)]| check(&headers(pairs), BODY, AT, &[SECRET]).unwrap_err();
        let [id, time, signature] =
            [("webhook-id", "m"), ("webhook-timestamp", "1784206014"), ("webhook-signature", SIGNATURE)];
        assert_eq!(read(&[]), SignatureError::MissingHeader("webhook-id"));
        assert_eq!(read(&[id, time]), SignatureError::MissingHeader("webhook-signature"));
        assert_eq!(
            read(&[id, ("svix-timestamp", "1784206014"), signature]),
            SignatureError::MissingHeader("webhook-timestamp")
        );
        assert_eq!(read(&[id, id, time, signature]), SignatureError::RepeatedHeader("webhook-id"));
        for bad in ["", "+1784206014", "1784206014.5", " 1784206014", "99999999999999999999"] {
            assert_eq!(read(&[id, ("webhook-timestamp", bad), signature]), SignatureError::BadTimestamp, "{bad:?}");
        }
        assert_eq!(read(&[id, time, ("webhook-signature", "hunter2")]), SignatureError::BadSignatureForm);
    }

    #[test]
    fn a_public_key_fits_its_own_signature_alone() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&(0..32).collect::<Vec<u8>>()).unwrap();
        let key = format!("whpk_{}", BASE64.encode(pair.public_key().as_ref()));
        let message = [&b"msg_test_1.1784206014."[..], BODY].concat();
        let signature = format!("v1a,{}", BASE64.encode(pair.sign(&message).as_ref()));
        assert_eq!(check(&vector(&signature), BODY, AT, &[SECRET, &key]), Ok(1));
        assert_eq!(check(&vector(&signature), b"{}", AT, &[SECRET, &key]), Err(SignatureError::NoKeyFits));
        assert_eq!(check(&vector(SIGNATURE), BODY, AT, &[&key]), Err(SignatureError::NoKeyFits));
    }
}
