//! Values that must not be printed by accident.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::id::ClipKey;

/// A secret: a key, a token, a credential. `Debug` redacts it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a value that must not be logged.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Whoever calls this answers for where it goes.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// What a source begins with that is no URL but our own store.
const OWN_STORE: &str = "store:";
/// The same of bytes that came within a webhook or a result.
const INLINE: &str = "inline:";

/// A source URL: the provider's address of a clip. Never canonical, and never
/// printed: `Debug` and `Display` say only that there is one (invariant 2).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceUrl(String);

impl SourceUrl {
    /// Wraps a provider's URL as it came. Whether it may be fetched is judged
    /// where it is fetched.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// Says that the provider writes the clip into our own store. It is no URL
    /// that a request could go to: no host stands in it, and the judge of URLs
    /// takes only http and https.
    pub fn own_store(key: &ClipKey) -> Self {
        Self(format!("{OWN_STORE}{key}"))
    }

    /// Says that the clip's bytes came as data, with this SHA-256 (lower-case
    /// hex), and wait in our own store.
    pub fn inline(sha256: &str) -> Self {
        Self(format!("{INLINE}{sha256}"))
    }

    /// Whether the clip is written into our own store by the provider.
    pub fn is_own_store(&self) -> bool {
        self.0.starts_with(OWN_STORE)
    }

    /// Whether there is a URL at all. If not, its bytes come by way of our own
    /// store alone, and nobody has another copy.
    pub fn has_url(&self) -> bool {
        !self.is_own_store() && self.inline_sha256().is_none()
    }

    /// The SHA-256 of bytes that came as data, if they did.
    pub fn inline_sha256(&self) -> Option<&str> {
        self.0.strip_prefix(INLINE)
    }

    /// The host that it names, alone: for receipts, which say where a clip was
    /// fetched from.
    pub fn host(&self) -> Option<String> {
        Url::parse(&self.0).ok()?.host_str().map(str::to_owned)
    }

    /// The URL itself, for the engine's use and for admin answers.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[source]")
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[source]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_and_display_redact() {
        let url = SourceUrl::new("https://v3.fal.media/x.mp4");
        assert_eq!(format!("{url} {url:?}"), "[source] [source]");
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[secret]");
    }

    #[test]
    fn a_host_is_the_host_alone() {
        let host = |url: &str| SourceUrl::new(url).host();
        assert_eq!(host("https://user:pw@V3.fal.media:8443/x.mp4?token=1").as_deref(), Some("v3.fal.media"));
        assert_eq!((host("nonsense"), host("data:video/mp4,x")), (None, None));
    }

    #[test]
    fn our_own_store_is_no_url_that_a_request_may_go_to() {
        let own = SourceUrl::own_store(&"a.mp4".parse().unwrap());
        let inline = SourceUrl::inline("abc");
        assert_eq!((own.host(), inline.host()), (None, None));
        assert_eq!((inline.has_url(), inline.inline_sha256(), own.inline_sha256()), (false, Some("abc"), None));
        assert!(own.is_own_store() && !SourceUrl::new("https://v3.fal.media/x.mp4").is_own_store());
        let rules = crate::address::SourceRules {
            hosts: vec!["*.fal.media".parse().unwrap()],
            allow_private: true,
            allow_http: true,
        };
        assert!(crate::address::judge_url(&rules, own.expose()).is_err());
        assert!(crate::address::judge_url(&rules, inline.expose()).is_err());
    }
}
