//! A provider's public keys, as it publishes them (RFC 7517, RFC 8037).

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

/// A key set longer than this is refused unread.
pub const MAX_LEN: usize = 64 * 1024;

/// A key set with more keys than this is refused: each may be tried on each webhook.
pub const MAX_KEYS: usize = 32;

/// One Ed25519 key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksKey {
    /// The provider's name of it; empty where it gives none.
    pub kid: String,
    pub public: [u8; 32],
}

/// Why a key set was refused.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// Too many bytes or keys.
    #[error("the key set is too large")]
    TooLarge,
    /// Not the JSON of a key set.
    #[error("the key set is not readable")]
    NotAKeySet(#[source] serde_json::Error),
    /// No Ed25519 key in it. Keeping it would refuse every webhook.
    #[error("the key set holds no Ed25519 key")]
    NoUsableKey,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<RawKey>,
}

#[derive(Deserialize)]
struct RawKey {
    #[serde(default)]
    kty: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    x: Option<String>,
}

/// Reads a key set. Keys other than Ed25519 are ignored; `x` may be padded, as
/// fal's is.
pub fn parse(bytes: &[u8]) -> Result<Vec<JwksKey>, JwksError> {
    if bytes.len() > MAX_LEN {
        return Err(JwksError::TooLarge);
    }
    let set: KeySet = serde_json::from_slice(bytes).map_err(JwksError::NotAKeySet)?;
    if set.keys.len() > MAX_KEYS {
        return Err(JwksError::TooLarge);
    }
    let keys: Vec<JwksKey> = set.keys.into_iter().filter_map(usable).collect();
    if keys.is_empty() {
        return Err(JwksError::NoUsableKey);
    }
    Ok(keys)
}

fn usable(raw: RawKey) -> Option<JwksKey> {
    if raw.kty.as_deref() != Some("OKP") || raw.crv.as_deref() != Some("Ed25519") {
        return None;
    }
    let x = raw.x?;
    let bytes = BASE64URL_NOPAD.decode(x.trim_end_matches('=').as_bytes()).ok()?;
    Some(JwksKey { kid: raw.kid.unwrap_or_default(), public: bytes.try_into().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg";

    fn set(x: &str) -> String {
        format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"a","x":"{x}"}}]}}"#)
    }

    #[test]
    fn a_padded_x_is_the_same_key() {
        let plain = parse(set(X).as_bytes()).unwrap();
        assert_eq!(plain, parse(set(&format!("{X}=")).as_bytes()).unwrap());
        assert_eq!((plain.len(), plain[0].kid.as_str(), plain[0].public[0]), (1, "a", 0x03));
    }

    #[test]
    fn other_keys_are_ignored() {
        let others = [
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB","kid":1e3}"#.replace("1e3", "\"r\""),
            format!(r#"{{"kty":"OKP","crv":"X25519","x":"{X}"}}"#),
            r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#.into(),
            r#"{"kty":"OKP","crv":"Ed25519","x":"!"}"#.into(),
            r#"{"kty":"OKP","crv":"Ed25519"}"#.into(),
        ];
        let others = others.join(",");
        let with_ours = set(X).replace("[{", &format!("[{others},{{"));
        assert_eq!(parse(with_ours.as_bytes()).unwrap(), parse(set(X).as_bytes()).unwrap());
        assert!(matches!(parse(format!(r#"{{"keys":[{others}]}}"#).as_bytes()), Err(JwksError::NoUsableKey)));
    }

    #[test]
    fn what_is_no_key_set_is_refused() {
        for bad in ["", "[]", "{}", "<html>", r#"{"keys":1}"#] {
            assert!(matches!(parse(bad.as_bytes()), Err(JwksError::NotAKeySet(_))), "{bad}");
        }
    }

    #[test]
    fn a_key_set_is_bounded() {
        let many = vec![r#"{"kty":"RSA"}"#; MAX_KEYS + 1].join(",");
        assert!(matches!(parse(format!(r#"{{"keys":[{many}]}}"#).as_bytes()), Err(JwksError::TooLarge)));
        let long = format!("{}{}", set(X), " ".repeat(MAX_LEN));
        assert!(matches!(parse(long.as_bytes()), Err(JwksError::TooLarge)));
    }
}
