//! A look that all who ask share, so that who asks often costs nothing.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

/// What was seen last, and when.
pub struct SharedProbe<T> {
    every: Duration,
    seen: Arc<Mutex<Option<(Instant, T)>>>,
}

impl<T: Clone + Send + 'static> SharedProbe<T> {
    /// One look in so long at most.
    pub fn new(every: Duration) -> Self {
        Self { every, seen: Arc::default() }
    }

    /// What was seen lately, or else what `look` sees. Who asks meanwhile waits
    /// for it; it goes on if who asked first leaves.
    pub async fn at(&self, look: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let mut seen = Arc::clone(&self.seen).lock_owned().await;
        if let Some((_, value)) = seen.as_ref().filter(|(at, _)| at.elapsed() < self.every) {
            return Some(value.clone());
        }
        let looking = tokio::spawn(async move {
            let value = look.await;
            *seen = Some((Instant::now(), value.clone()));
            value
        });
        looking.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn h09_h10_any_number_of_askers_cost_one_look() {
        let (glance, looks) = (SharedProbe::new(Duration::from_secs(2)), Arc::new(AtomicU32::new(0)));
        let ask = || {
            let looks = Arc::clone(&looks);
            glance.at(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                looks.fetch_add(1, Ordering::SeqCst) + 1
            })
        };
        // Who leaves does not begin another look, nor end the one that runs.
        let left = tokio::time::timeout(Duration::from_millis(10), ask()).await;
        assert!(left.is_err());
        let all = futures_util::future::join_all((0..16).map(|_| ask())).await;
        assert!(all.iter().all(|seen| *seen == Some(1)), "{all:?}");
        while ask().await == Some(1) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(ask().await, Some(2));
    }
}
