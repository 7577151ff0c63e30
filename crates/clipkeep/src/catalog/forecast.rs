//! What is there to do, without doing it.

use async_trait::async_trait;
use clipkeep_core::{generation::Clip, time::Timestamp};

use super::Result;

/// How much there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PendingCounts {
    /// Clips that are due.
    pub due: u64,
    /// Generations that the provider is to be asked for.
    pub polls: u64,
}

/// Looking ahead. Reads all that is due, so it is for people, not for loops.
#[async_trait]
pub trait QueueForecast {
    /// How much there is to do at `now`.
    async fn pending_counts(&self, now: Timestamp) -> Result<PendingCounts>;

    /// Up to `limit` clips that are due at `now`, in the order of the backlog:
    /// soonest `source_expires_at` first (known before unknown), then oldest due.
    async fn most_urgent(&self, now: Timestamp, limit: u32) -> Result<Vec<Clip>>;
}
