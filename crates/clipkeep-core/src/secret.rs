//! Values that must not be printed by accident.

use std::fmt;

use serde::{Deserialize, Serialize};

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
}
