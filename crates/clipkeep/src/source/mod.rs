//! The provider's side of a fill: the only client for URLs that others named,
//! and guarded accordingly (invariant 8). What an answer means is the core's
//! to say; this obeys. It holds no retries, no files and no size limit: those
//! are the fill's.

mod body;
mod client;
mod connections;
mod error;
mod resolver;
#[cfg(test)]
mod tests;

pub use body::SourceBody;
pub use client::{Piece, SourceClient, SourceResponse, SourceSettings, source_rules};
pub use error::SourceError;
