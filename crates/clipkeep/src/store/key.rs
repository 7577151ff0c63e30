//! What an object is called in the store. No other file puts names together.

use std::fmt;

use clipkeep_core::id::ClipKey;
use object_store::path::Path;

/// The whole name of one object: prefix and clip key; or a prefix alone, where a
/// listing is spoken of. It holds nothing secret and may be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectKey(Path);

impl ObjectKey {
    /// An object or upload by the whole name that a listing gives it.
    pub(super) fn listed(name: &str) -> Result<Self, object_store::path::Error> {
        Path::parse(name).map(Self)
    }

    /// The name as the bucket knows it.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The name as text, without a leading slash.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_root() { "the bucket" } else { self.as_str() })
    }
}

/// What the names of outputs begin with that came as data.
pub(super) const INLINE: &str = ".clipkeep-inline-";

/// What the names of posters begin with.
pub(super) const POSTERS: &str = ".clipkeep/posters/";

/// What all of this store's objects begin with in a shared bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Prefix(Path);

impl Prefix {
    /// Takes `a/b`, with or without outer slashes; empty for none. `None` if a
    /// segment is empty, `.` or `..`, or holds a control character.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Path::parse(text.trim_matches('/')).ok().map(Self)
    }

    pub(super) fn clip(&self, key: &ClipKey) -> ObjectKey {
        self.object(key.as_str())
    }

    /// A doctor's object. It begins with a dot, as no clip key does.
    pub(super) fn doctor(&self, nonce: &str) -> ObjectKey {
        self.object(&format!(".clipkeep-doctor-{nonce}"))
    }

    /// The object that says whose store it is.
    pub(super) fn marker(&self) -> ObjectKey {
        self.object(".clipkeep/catalog")
    }

    /// An output that came as data and waits to be filled. It begins with a dot,
    /// too: no listing of clips shows it.
    pub(super) fn inline(&self, name: &str) -> ObjectKey {
        self.object(&format!("{INLINE}{name}"))
    }

    pub(super) fn poster(&self, key: &ClipKey) -> ObjectKey {
        self.object(&format!("{POSTERS}{key}.jpg"))
    }

    /// What the names of all objects under this prefix begin with.
    pub(super) fn listing(&self) -> String {
        if self.0.is_root() { String::new() } else { format!("{}/", self.0) }
    }

    /// The prefix itself, to be spoken of.
    pub(super) fn named(&self) -> ObjectKey {
        ObjectKey(self.0.clone())
    }

    // `Path::join` would escape the tilde that a clip key may hold.
    fn object(&self, name: &str) -> ObjectKey {
        let path = Path::parse(format!("{}{name}", self.listing()));
        ObjectKey(path.expect("a checked prefix and a clip key make a valid path"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_by_prefix_and_key_to_the_letter() {
        let key: ClipKey = "a~b-c_d.1.mp4".parse().unwrap();
        for (prefix, expected) in
            [("", "a~b-c_d.1.mp4"), ("clips", "clips/a~b-c_d.1.mp4"), ("/x/y/", "x/y/a~b-c_d.1.mp4")]
        {
            assert_eq!(Prefix::parse(prefix).unwrap().clip(&key).as_str(), expected);
        }
    }

    #[test]
    fn a_prefix_cannot_climb() {
        for bad in ["a/../b", "..", "a//b", "./a"] {
            assert!(Prefix::parse(bad).is_none(), "{bad}");
        }
    }
}
