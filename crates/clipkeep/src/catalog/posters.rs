//! Which stored clips have a poster, and which should be tried.

use async_trait::async_trait;
use clipkeep_core::{id::ClipKey, time::Timestamp};

use super::Result;

/// Posters.
#[async_trait]
pub trait Posters {
    /// Stored clips of whose bytes nobody made a poster yet, newest first; nobody
    /// else is told of these before `until`.
    async fn posters_due(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<ClipKey>>;

    /// The poster of this stored content epoch is in the store, or there can be
    /// none. `false` if it is another epoch, or stored no more.
    async fn poster_made(&self, key: &ClipKey, epoch: i64, thumbhash: Option<&str>) -> Result<bool>;
}
