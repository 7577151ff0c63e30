//! Records that are too old: events, history, usage by the hour.

use async_trait::async_trait;
use clipkeep_core::{id::ClipKey, time::Timestamp};

use super::Result;

/// A page of clips whose history was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForgottenHistory {
    /// How many lines were removed.
    pub lines: u64,
    /// The last clip that was looked at; none if there are no more.
    pub last: Option<ClipKey>,
}

/// Keeps records from growing for ever, each verb in one short transaction.
#[async_trait]
pub trait Expiry: Send + Sync {
    /// Removes events that are older than `before`, of the `limit` oldest. An
    /// event stays while one of `endpoints` has not been told of it or is told
    /// again, and the newest stays always; with an event goes its parked delivery.
    async fn forget_events(&self, before: Timestamp, endpoints: &[String], limit: u32) -> Result<u64>;

    /// Removes lines older than `before` from the history of the next `clips`
    /// clips after `after` that are stored or ended. Lines that tell how the
    /// clip came to its bytes and its end stay: receipts name them.
    async fn forget_history(&self, after: Option<&ClipKey>, before: Timestamp, clips: u32) -> Result<ForgottenHistory>;

    /// The next hour after `after`, beside the first of a day, for which there
    /// is usage.
    async fn next_usage_hour(&self, after: Option<Timestamp>) -> Result<Option<Timestamp>>;

    /// Adds `limit` rows of usage of `hour` to the first hour of its day, and
    /// answers how many there were.
    async fn roll_up_usage(&self, hour: Timestamp, limit: u32) -> Result<u64>;
}

/// What the history keeps of a clip whatever its age.
pub(super) const LASTING: &str =
    "'sealed', 'shared', 'stored', 'provider_known', 'lost', 'rejected', 'deleted', 'removed', 'spared'";

/// Whether an hour is the first of its day, where a day's usage is kept.
pub(super) const IS_DAY: &str = "hour % 86400000 = 0";

/// The columns of usage that add up.
pub(super) const COUNTS: [&str; 8] = [
    "plays",
    "viewer_bytes",
    "hits",
    "cold_fetches",
    "source_bytes",
    "aborted_plays",
    "first_byte_micros",
    "first_bytes",
];
