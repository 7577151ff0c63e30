//! How fast backlog is read that nobody watches (`backfill_rate`): all such
//! fills of the node share one budget.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::local::LocalCopy;

/// The budget.
pub(super) struct RateLimiter {
    /// Bytes a second, if there is a bound.
    rate: Option<u64>,
    /// When all that was let pass so far is paid for.
    paid: Mutex<Instant>,
}

impl RateLimiter {
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self { rate, paid: Mutex::new(Instant::now()) }
    }

    /// Whether the bytes of `copy` have to wait for their turn now.
    pub(super) fn holds_back(&self, copy: &LocalCopy) -> bool {
        self.rate.is_some() && !copy.is_watched()
    }

    /// Waits until it is these bytes' turn, or until a viewer reads along with
    /// `copy`: while one does, its bytes pass and cost nothing. Dropping the
    /// future is safe.
    pub(super) async fn pass(&self, bytes: u64, copy: &LocalCopy) {
        let Some(rate) = self.rate.filter(|_| !copy.is_watched()) else { return };
        let turn = {
            let mut paid = self.paid.lock();
            *paid = (*paid).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / rate as f64);
            *paid
        };
        tokio::select! {
            () = sleep_until(turn) => {}
            () = copy.watched() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_pass_at_the_rate_and_at_once_while_somebody_watches() {
        let dir = tempfile::tempdir().unwrap();
        let copy = LocalCopy::create(dir.path().join("c")).await.unwrap();
        let rate_limit = RateLimiter::new(Some(100_000));
        let began = Instant::now();
        for _ in 0..10 {
            rate_limit.pass(3_000, &copy).await;
        }
        assert!(began.elapsed() >= Duration::from_millis(299), "{:?}", began.elapsed());
        let hour = 3600 * 100_000;
        let viewer = copy.viewer();
        rate_limit.pass(hour, &copy).await;
        drop(viewer);
        // A viewer who comes frees what waits for its turn.
        let mut waits = std::pin::pin!(rate_limit.pass(hour, &copy));
        assert!(futures_util::FutureExt::now_or_never(waits.as_mut()).is_none());
        let _viewer = copy.viewer();
        tokio::time::timeout(Duration::from_secs(30), waits).await.unwrap();
    }
}
