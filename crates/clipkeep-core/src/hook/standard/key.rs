//! The keys that Standard Webhooks are checked with.

use std::{fmt, str::FromStr};

use data_encoding::{BASE64, BASE64_NOPAD};

use crate::{id::Provider, standard_webhook::EventSecret};

/// What a public key's text starts with.
const PUBLIC_PREFIX: &str = "whpk_";

/// Why a key was refused. Fit for a user: it does not quote the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be whsec_ and 24 to 64 bytes in base64, or whpk_ and 32")]
pub struct WebhookKeyError;

/// A key that a sender's webhooks are checked with. `Debug` redacts it.
#[derive(Clone)]
pub enum WebhookKey {
    /// The secret shared with the sender (`whsec_…`, signatures `v1`).
    Shared(EventSecret),
    /// The sender's public key (`whpk_…`, signatures `v1a`).
    Public([u8; 32]),
}

impl WebhookKey {
    /// Whether both are one shared secret.
    pub(crate) fn is_same_secret(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Shared(own), Self::Shared(other)) => own.tag(&[]).as_ref() == other.tag(&[]).as_ref(),
            _ => false,
        }
    }
}

impl FromStr for WebhookKey {
    type Err = WebhookKeyError;

    fn from_str(text: &str) -> Result<Self, WebhookKeyError> {
        let text = text.trim();
        let Some(encoded) = text.strip_prefix(PUBLIC_PREFIX) else {
            return text.parse().map(Self::Shared).map_err(|_| WebhookKeyError);
        };
        let decoded = BASE64.decode(encoded.as_bytes()).or_else(|_| BASE64_NOPAD.decode(encoded.as_bytes()));
        let bytes = decoded.ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self::Public).ok_or(WebhookKeyError)
    }
}

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

/// A key, and for which provider it speaks: for that one alone, or, without a
/// name, for any that has no way of its own.
#[derive(Clone, Debug)]
pub struct NamedKey {
    pub provider: Option<Provider>,
    pub key: WebhookKey,
}

impl FromStr for NamedKey {
    type Err = String;

    /// `name=whsec_…`, or the key alone.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        // A key may end in `=`, too.
        let is_plain = ["whsec_", PUBLIC_PREFIX].iter().any(|prefix| text.starts_with(prefix));
        let (name, key) = match text.split_once('=').filter(|_| !is_plain) {
            Some((name, key)) => (Some(name.trim()), key),
            None => (None, text),
        };
        let provider = name.map(str::parse::<Provider>).transpose().map_err(|error| error.to_string())?;
        if provider.as_ref() == Some(&Provider::adopted()) {
            return Err("must not speak for `adopted`, which is no provider".to_owned());
        }
        let key = key.parse().map_err(|error: WebhookKeyError| error.to_string())?;
        Ok(Self { provider, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const PUBLIC: &str = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";

    #[test]
    fn a_key_may_say_for_whom_it_speaks() {
        let name = |text: &str| text.parse::<NamedKey>().unwrap().provider.map(|provider| provider.to_string());
        assert_eq!((name(SECRET), name(PUBLIC)), (None, None));
        assert_eq!(name(&format!("luma={SECRET}")).as_deref(), Some("luma"));
        assert_eq!(name(&format!(" my-relay = {PUBLIC}")).as_deref(), Some("my-relay"));
        assert_eq!(name(&format!("fal={SECRET}")).as_deref(), Some("fal"));
        let short = "whpk_AAEC";
        for bad in
            ["", "luma", "luma=", "=x", short, "luma=hunter2", &format!("a b={SECRET}"), &format!("adopted={SECRET}")]
        {
            assert!(bad.parse::<NamedKey>().is_err(), "{bad:?}");
        }
        assert!(!format!("{:?}", SECRET.parse::<NamedKey>().unwrap()).contains("AAEC"));
    }
}
