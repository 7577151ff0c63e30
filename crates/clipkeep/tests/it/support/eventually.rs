//! Waiting for what is to come, on whatever machine.

use std::{fmt::Display, time::Duration};

use tokio::time::Instant;

/// Long enough for a slow machine that does much else besides. Nothing that
/// holds waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// What `look` finds, as soon as it finds something. Fails if that never comes.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: impl Display, mut look: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
