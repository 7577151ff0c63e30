//! Which of the objects that a name had in the course of time is meant.

use std::sync::OnceLock;

/// The store's own tag of an object. Empty, it takes that of the first answer;
/// from then on only that very object is read. A folder has none: its objects
/// are mapped once, and a new one is a new file.
#[derive(Clone, Debug, Default)]
pub struct Pin(OnceLock<String>);

impl Pin {
    /// Of the object with this tag; of any, if there is none.
    pub fn of(tag: Option<String>) -> Self {
        let pin = Self::default();
        if let Some(tag) = tag {
            let _ = pin.0.set(tag);
        }
        pin
    }

    /// The tag, once it is known.
    pub fn tag(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// Takes an answer's tag; `false` if another object is meant.
    pub(super) fn fits(&self, tag: String) -> bool {
        *self.0.get_or_init(|| tag.clone()) == tag
    }
}
