//! Webhooks: from a raw request to a verified [`crate::generation::HookRecord`].
//!
//! A provider is a module here, which says how its webhooks are signed, what
//! they mean and how long its sources live, and a line in `profile.rs`.
//!
//! Pure: the provider's keys, the time and the raw body are handed in. Nothing
//! here fetches, stores or judges whether a source may be reached.

pub mod fal;
pub mod jwks;
pub mod payload;
pub mod replicate;
pub mod standard;

mod decoded;
mod json;
mod members;
mod profile;
mod query;
mod redact;
mod unread;

pub use decoded::{DecodeError, Decoded};
pub use json::JsonError;
pub use payload::Inline;
pub use profile::{Profile, profile};
pub use query::{HookQuery, QueryError, callback_query};
pub use unread::{Form, Unread};

/// A document as a value, read as leniently as a webhook is; `None` if it is no
/// JSON even so.
pub fn lenient_value(document: &[u8]) -> Option<serde_json::Value> {
    json::Node::read(document).ok().map(json::Node::into_value)
}
