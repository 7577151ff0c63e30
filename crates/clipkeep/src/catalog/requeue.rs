//! The ways back from `lost` and `rejected`.

use std::time::Duration;

use async_trait::async_trait;
use clipkeep_core::{id::ClipKey, time::Timestamp};

use super::Result;

/// The wait before a clip that the same news brings back for the second time is
/// filled. Each next one is four times as long.
const SECOND_DELAY: Duration = Duration::from_secs(60);
/// The longest of these waits.
const MAX_DELAY: Duration = Duration::from_secs(24 * 3600);

/// How long a clip waits that the same news brings back, and brought back so
/// often before. Whoever repeats a webhook once the cause is gone has the clip at
/// once; whoever repeats it every minute has its source asked a dozen times in the
/// first week.
pub(super) fn return_delay(returned: u32) -> Duration {
    let factor = |doublings: u32| 4_u32.checked_pow(doublings).unwrap_or(u32::MAX);
    returned.checked_sub(1).map_or(Duration::ZERO, |more| SECOND_DELAY.saturating_mul(factor(more)).min(MAX_DELAY))
}

/// Bringing clips back.
#[async_trait]
pub trait Requeue: Send + Sync {
    /// Those of these clips that are `lost` or `rejected` start over from their
    /// source: `waiting`, due at `at`, under the next content epoch, as if nothing
    /// had been tried. One whose attempts vanished comes back only if `vanished`:
    /// whoever asks for it takes the risk. Answers which came back.
    async fn requeue(&self, keys: &[ClipKey], at: Timestamp, why: &str, vanished: bool) -> Result<Vec<ClipKey>>;

    /// The first origin (scheme, host and port) after this one that clips are
    /// over for, because no request may go there.
    async fn refused_origin(&self, after: &str) -> Result<Option<String>>;

    /// Clips that are over for this origin, by key.
    async fn refused(&self, origin: &str, limit: u32) -> Result<Vec<ClipKey>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_return_is_at_once_and_each_next_waits_longer() {
        let secs: Vec<u64> = (0..9).map(|returned| return_delay(returned).as_secs()).collect();
        assert_eq!(secs, [0, 60, 240, 960, 3840, 15360, 61440, 86400, 86400]);
        assert_eq!(return_delay(u32::MAX), MAX_DELAY);
    }
}
