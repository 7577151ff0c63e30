//! The key that signs receipts, and the public keys that check them.

use std::{fmt, str::FromStr};

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use ring::{
    digest,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use serde_json::{Value, json};

use super::ALGORITHM;
use crate::hook::jwks;

/// Why a receipt key was refused. Fit for a user: it does not quote the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 32 bytes in base64")]
pub struct ReceiptKeyError;

/// The Ed25519 key that signs receipts, ready for use. `Debug` redacts it.
pub struct ReceiptKey(Ed25519KeyPair);

impl ReceiptKey {
    /// The text of a key made of these random bytes.
    pub fn text(seed: &[u8; 32]) -> String {
        BASE64.encode(seed)
    }

    /// Its name: the RFC 7638 thumbprint of its public half, so the same
    /// wherever the key is.
    pub fn kid(&self) -> String {
        thumbprint(self.public())
    }

    /// Its public half as a JSON Web Key Set.
    pub fn jwks(&self) -> Value {
        let x = BASE64URL_NOPAD.encode(self.public());
        json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.kid(), "use": "sig", "alg": ALGORITHM}
        ]})
    }

    /// What checks the receipts that it signs.
    pub fn checks(&self) -> ReceiptKeys {
        ReceiptKeys(vec![self.public().to_vec()])
    }

    pub(super) fn sign_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(bytes).as_ref().to_vec()
    }

    fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }
}

impl FromStr for ReceiptKey {
    type Err = ReceiptKeyError;

    fn from_str(text: &str) -> Result<Self, ReceiptKeyError> {
        let seed = decode_32(text).ok_or(ReceiptKeyError)?;
        Ed25519KeyPair::from_seed_unchecked(&seed).map(Self).map_err(|_| ReceiptKeyError)
    }
}

impl fmt::Debug for ReceiptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Why there are no keys to check a receipt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a JSON Web Key Set with an Ed25519 key nor a public key of 32 bytes in base64")]
pub struct ReceiptKeysError;

/// Public keys that check receipts. What a key set calls them does not matter:
/// a receipt names its key by thumbprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptKeys(Vec<Vec<u8>>);

impl ReceiptKeys {
    /// Whether the signature holds under the key of this name; none if it is
    /// not here.
    pub(super) fn holds(&self, kid: &str, signed: &[u8], signature: &[u8]) -> Option<bool> {
        let key = self.0.iter().find(|key| thumbprint(key) == kid)?;
        Some(UnparsedPublicKey::new(&ED25519, key).verify(signed, signature).is_ok())
    }
}

impl FromStr for ReceiptKeys {
    type Err = ReceiptKeysError;

    /// Reads a JSON Web Key Set, or one public key in base64 of any kind.
    fn from_str(text: &str) -> Result<Self, ReceiptKeysError> {
        if let Some(key) = decode_32(text) {
            return Ok(Self(vec![key]));
        }
        let keys = jwks::parse(text.as_bytes()).map_err(|_| ReceiptKeysError)?;
        Ok(Self(keys.into_iter().map(|key| key.public.to_vec()).collect()))
    }
}

/// RFC 7638 for an Ed25519 key: the members in their order, without a space.
fn thumbprint(public: &[u8]) -> String {
    let x = BASE64URL_NOPAD.encode(public);
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref())
}

fn decode_32(text: &str) -> Option<Vec<u8>> {
    let encodings = [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD];
    let text = text.trim().as_bytes();
    encodings.iter().find_map(|encoding| encoding.decode(text).ok()).filter(|bytes| bytes.len() == 32)
}
