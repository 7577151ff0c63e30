//! Receipts: that a clip's stored bytes are those its source gave, signed.
//!
//! A receipt travels as a JSON Web Signature in its flattened JSON form (RFC
//! 7515, 7.2.2; Ed25519 by RFC 8037), so that anybody can check it with a
//! library of their own. What is signed is carried to the byte, in `payload`;
//! `receipt` shows the same to people. `docs/receipts.md` says it to them.

mod key;
#[cfg(test)]
mod tests;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::key::{ReceiptKey, ReceiptKeyError, ReceiptKeys, ReceiptKeysError};
use crate::{
    id::{ClipKey, Provider, RequestId, Tenant},
    time::Timestamp,
};

/// The one algorithm, by its name in a JWS.
const ALGORITHM: &str = "EdDSA";

/// What a signature under the receipt key is for, so that it is never taken
/// for something else.
const TYPE: &str = "clipkeep-receipt+json";

/// The form of what is signed.
const VERSION: u32 = 1;

/// A file longer than this is no receipt.
pub const MAX_LEN: usize = 64 * 1024;

/// What is certified of a clip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The form of this, for whoever reads it: see [`Receipt::VERSION`].
    pub version: u32,
    pub key: ClipKey,
    /// The provider's id of its generation.
    pub request_id: RequestId,
    pub provider: Provider,
    /// Whose it is, where that is known.
    pub tenant: Option<Tenant>,
    /// Of which bytes checksum and size are.
    #[serde(default)]
    pub representation: Named,
    /// Lower-case hex SHA-256 of the stored bytes, which are the source's.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// The media type by content.
    pub content_type: String,
    /// The host that the provider's URL named, alone: never the URL. None where
    /// the provider wrote the clip into our own store.
    pub source_host: Option<String>,
    /// The source's `ETag`, as it came.
    pub source_etag: Option<String>,
    /// The source's `Last-Modified`, as it came.
    pub source_last_modified: Option<String>,
    /// When all of its bytes had been read and hashed.
    pub fetched_at: Option<Timestamp>,
    /// When its object was confirmed in the store.
    pub stored_at: Timestamp,
    pub stored_in: StoredIn,
    /// When the stored bytes were last read again and found right.
    pub verified_at: Option<Timestamp>,
    /// Who says so: what this clipkeep is called from outside.
    pub issuer: String,
    pub issued_at: Timestamp,
}

impl Receipt {
    /// The form that this program writes, and the only one that it reads.
    pub const VERSION: u32 = VERSION;
}

/// Which of a clip's representations a receipt names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// The stored bytes in their own order, as a download link gives them. A
    /// viewing link may give an MP4's `moov` first.
    #[default]
    Stored,
}

/// Where a clip's object is: names, no credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StoredIn {
    /// A folder of the node's.
    Folder { object: String },
    Bucket {
        bucket: String,
        /// The object's whole key, prefix and all.
        object: String,
    },
}

/// A signed receipt, as it is handed out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SignedReceipt {
    /// What the payload says, for people.
    pub receipt: Receipt,
    /// The JWS header, base64url.
    pub protected: String,
    /// What is signed, base64url.
    pub payload: String,
    /// The signature, base64url.
    pub signature: String,
}

/// Why a receipt was not accepted, in words for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Too long, no JSON, or a member is absent.
    #[error("it is no receipt, or it was cut short")]
    Shape,
    /// `protected`, `payload` or `signature` is no base64url, or the header no JSON.
    #[error("it is garbled: one of its parts cannot be decoded")]
    Encoding,
    /// `none`, or whatever else is not ours.
    #[error("its signature algorithm is not EdDSA, the only one accepted")]
    Algorithm,
    /// Something else that was signed with the same key.
    #[error("what is signed there is not a receipt of clipkeep")]
    Type,
    /// Its header holds what must be understood (RFC 7515, 4.1.11) and is not.
    #[error("its header demands an extension that is not known here")]
    Critical,
    /// None of the keys given is the one it names.
    #[error("it was signed with another key than the one it is checked with")]
    UnknownKey,
    /// Header, payload or signature was changed.
    #[error("its signature does not hold: it was altered after it was signed, or forged")]
    BadSignature,
    /// Genuine, but of another form.
    #[error("it is genuine, but of a form that this clipkeep does not know")]
    Version,
    /// The readable part says something else than what was signed.
    #[error("its readable part is not what was signed: it was altered")]
    Differs,
}

#[derive(Deserialize)]
struct Parts {
    protected: String,
    payload: String,
    signature: String,
    receipt: Option<Value>,
}

#[derive(Deserialize)]
struct Header {
    alg: Option<String>,
    typ: Option<String>,
    kid: Option<String>,
    crit: Option<Value>,
}

impl ReceiptKey {
    pub fn sign(&self, receipt: Receipt) -> SignedReceipt {
        let header = json!({"alg": ALGORITHM, "kid": self.kid(), "typ": TYPE}).to_string();
        let protected = BASE64URL_NOPAD.encode(header.as_bytes());
        let body = serde_json::to_vec(&receipt).expect("a receipt's names are text and its values have a JSON form");
        let payload = BASE64URL_NOPAD.encode(&body);
        let signature = BASE64URL_NOPAD.encode(&self.sign_bytes(format!("{protected}.{payload}").as_bytes()));
        SignedReceipt { receipt, protected, payload, signature }
    }
}

impl ReceiptKeys {
    /// What a receipt's text certifies, if one of these keys signed it.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify(&self, text: &[u8]) -> Result<Receipt, ReceiptError> {
        if text.len() > MAX_LEN {
            return Err(ReceiptError::Shape);
        }
        let parts: Parts = serde_json::from_slice(text).map_err(|_| ReceiptError::Shape)?;
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| ReceiptError::Encoding);
        let (header, payload) = (decode(&parts.protected)?, decode(&parts.payload)?);
        let signature = decode(&parts.signature)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| ReceiptError::Encoding)?;
        let signed = format!("{}.{}", parts.protected, parts.payload);
        self.check(&header, signed.as_bytes(), &signature)?;
        let said: Value = serde_json::from_slice(&payload).map_err(|_| ReceiptError::Version)?;
        if parts.receipt.is_some_and(|shown| shown != said) {
            return Err(ReceiptError::Differs);
        }
        let receipt: Receipt = serde_json::from_value(said).map_err(|_| ReceiptError::Version)?;
        if receipt.version == VERSION { Ok(receipt) } else { Err(ReceiptError::Version) }
    }

    fn check(&self, header: &Header, signed: &[u8], signature: &[u8]) -> Result<(), ReceiptError> {
        if header.alg.as_deref() != Some(ALGORITHM) {
            return Err(ReceiptError::Algorithm);
        }
        if header.typ.as_deref() != Some(TYPE) {
            return Err(ReceiptError::Type);
        }
        if header.crit.is_some() {
            return Err(ReceiptError::Critical);
        }
        let kid = header.kid.as_deref().ok_or(ReceiptError::UnknownKey)?;
        match self.holds(kid, signed, signature) {
            None => Err(ReceiptError::UnknownKey),
            Some(false) => Err(ReceiptError::BadSignature),
            Some(true) => Ok(()),
        }
    }
}
