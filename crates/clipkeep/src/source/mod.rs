//! Source: the provider's side of a fill. The only client that fetches URLs we
//! were told by others, and guarded accordingly (invariant 8).

mod body;
mod client;
mod error;
mod resolver;

pub use body::SourceBody;
pub use client::{Resume, SourceClient, SourceResponse, SourceSettings};
pub use error::SourceError;
