//! Names that are parsed once and valid ever after.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a name was refused. The text is fit for a user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct IdError {
    what: &'static str,
    problem: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                $check(&text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

text_id! {
    /// A provider's name, such as `fal`.
    Provider, check_provider
}
text_id! {
    /// A provider's id of one generation, as it came. Opaque, but it becomes a
    /// file name and a URL path, so it holds only `A-Z a-z 0-9 . _ ~ -`.
    RequestId, check_request_id
}
text_id! {
    /// Whose generation it is, in an app that serves many.
    Tenant, check_tenant
}
text_id! {
    /// A clip's name in URLs and in the store: `{request_id}.mp4`, then
    /// `{request_id}.1.mp4`, and so on.
    ClipKey, check_clip_key
}
text_id! {
    /// Which link key signed a link.
    KeyId, check_key_id
}

impl Provider {
    pub fn fal() -> Self {
        Self("fal".to_owned())
    }
}

impl Provider {
    pub fn replicate() -> Self {
        Self("replicate".to_owned())
    }

    /// What stands for the provider of objects that were found in the store
    /// without anybody having told of them.
    pub fn adopted() -> Self {
        Self("adopted".to_owned())
    }
}

impl ClipKey {
    /// The key of a generation's `index`-th clip, whose file ending is `ending`
    /// (without the dot).
    ///
    /// # Panics
    /// Never for an ending that [`crate::generation::Kind`] or the media table
    /// gave: those are short ASCII words.
    pub fn new(request_id: &RequestId, index: u32, ending: &str) -> Self {
        let key = match index {
            0 => format!("{request_id}.{ending}"),
            n => format!("{request_id}.{n}.{ending}"),
        };
        key.try_into().expect("a request id and a known ending make a valid key")
    }

    /// The generation it belongs to and its place among that one's clips, as
    /// its name says. `None` if no generation's clip has that name.
    pub fn parts(&self) -> Option<(RequestId, u32)> {
        let (stem, ending) = self.0.rsplit_once('.')?;
        let numbered = stem.rsplit_once('.').and_then(|(id, number)| Some((id, number.parse::<u32>().ok()?)));
        let (id, index) = numbered.unwrap_or((stem, 0));
        let id: RequestId = id.parse().ok()?;
        (Self::new(&id, index, ending) == *self).then_some((id, index))
    }

    /// The file ending, without the dot.
    pub fn ending(&self) -> &str {
        self.0.rsplit_once('.').map_or("", |(_, ending)| ending)
    }
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-')
}

fn check(what: &'static str, text: &str, max: usize, ok: impl Fn(u8) -> bool) -> Result<(), IdError> {
    let problem = |problem| Err(IdError { what, problem });
    if text.is_empty() {
        return problem("must not be empty");
    }
    if text.len() > max {
        return problem("is too long");
    }
    if !text.bytes().all(ok) {
        return problem("holds a character that is not allowed");
    }
    Ok(())
}

fn check_provider(text: &str) -> Result<(), IdError> {
    check("provider", text, 32, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn check_request_id(text: &str) -> Result<(), IdError> {
    check("request_id", text, 128, is_unreserved)?;
    let problem = |problem| Err(IdError { what: "request_id", problem });
    if text.starts_with('.') {
        return problem("must not start with a dot");
    }
    // `a.1` first would be named as `a` second is.
    let number = text.rsplit_once('.').map(|(_, tail)| tail);
    if number.is_some_and(|tail| tail.bytes().all(|b| b.is_ascii_digit())) {
        return problem("must not end in a dot and a number");
    }
    Ok(())
}

fn check_tenant(text: &str) -> Result<(), IdError> {
    check("tenant", text, 128, |b| is_unreserved(b) || matches!(b, b':' | b'@' | b'|' | b'/' | b'+'))
}

/// The longest clip key, in bytes.
pub const MAX_CLIP_KEY: usize = 160;

fn check_clip_key(text: &str) -> Result<(), IdError> {
    check("clip key", text, MAX_CLIP_KEY, is_unreserved)?;
    let shaped = text.rsplit_once('.').is_some_and(|(stem, ending)| {
        !stem.is_empty() && (1..=8).contains(&ending.len()) && ending.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    if !shaped || text.starts_with('.') {
        return Err(IdError { what: "clip key", problem: "must look like {request_id}.mp4" });
    }
    Ok(())
}

fn check_key_id(text: &str) -> Result<(), IdError> {
    check("key id", text, 64, |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clip_keys_follow_the_request_id_and_the_index() {
        let id: RequestId = "019f6af7-0000".parse().unwrap();
        assert_eq!(ClipKey::new(&id, 0, "mp4").as_str(), "019f6af7-0000.mp4");
        assert_eq!(ClipKey::new(&id, 2, "webm").as_str(), "019f6af7-0000.2.webm");
        assert_eq!(ClipKey::new(&id, 2, "webm").ending(), "webm");
    }

    #[test]
    fn a_clip_key_tells_its_generation_and_index() {
        for (key, expected) in [
            ("a.mp4", Some(("a", 0))),
            ("a.b.2.webm", Some(("a.b", 2))),
            ("a.v1.mp4", Some(("a.v1", 0))),
            ("a.0.mp4", None),
            ("a.01.mp4", None),
            ("a.1.2.mp4", None),
        ] {
            let parts = key.parse::<ClipKey>().unwrap().parts();
            let parts = parts.as_ref().map(|(id, index)| (id.as_str(), *index));
            assert_eq!(parts, expected, "{key}");
        }
    }

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for bad in ["", "../x", "a/b", ".hidden", "a b", "a\0", "ä", "a%2f", "a.1"] {
            assert!(bad.parse::<RequestId>().is_err(), "{bad:?}");
        }
        for bad in ["", "mp4", ".mp4", "a/b.mp4", "..", "a.mp4/", "a.m p"] {
            assert!(bad.parse::<ClipKey>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(129).parse::<RequestId>().is_err());
    }
}
