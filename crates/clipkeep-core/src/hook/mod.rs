//! Webhooks: from a raw request to a verified [`crate::generation::HookRecord`].
//!
//! Pure: the provider's keys, the time and the raw body are handed in. Nothing
//! here fetches, stores or judges whether a source may be reached.

pub mod fal;
pub mod jwks;
pub mod payload;

mod json;
mod query;
mod redact;

pub use query::{HookQuery, QueryError, callback_query, source_lifetime};
