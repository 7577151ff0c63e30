//! A database that is busy for a while does not end an import.

use std::time::Duration;

use crate::catalog::CatalogError;

/// How often something is tried.
const MAX_TRIES: u32 = 6;
/// How long between two tries.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Asks the catalogue until it answers, within reason. What is asked must bear
/// to be done twice: an error may still be followed by a commit.
pub(super) async fn with_retries<T>(ask: impl AsyncFn() -> Result<T, CatalogError>) -> Result<T, CatalogError> {
    again(RETRY_PAUSE, ask).await
}

async fn again<T>(pause: Duration, ask: impl AsyncFn() -> Result<T, CatalogError>) -> Result<T, CatalogError> {
    let mut tries = 1;
    loop {
        match ask().await {
            Err(error @ CatalogError::Unavailable { .. }) if tries < MAX_TRIES => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the catalogue does not answer; trying again");
                tries += 1;
                tokio::time::sleep(pause).await;
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn what_is_away_is_asked_again_and_what_is_wrong_is_not() {
        let asked = Cell::new(0);
        let away = || CatalogError::unavailable("asking", "busy");
        let answer = again(Duration::ZERO, async || {
            asked.set(asked.get() + 1);
            if asked.get() < MAX_TRIES { Err(away()) } else { Ok(asked.get()) }
        });
        assert_eq!(answer.await.unwrap(), MAX_TRIES);
        asked.set(0);
        let refused = again(Duration::ZERO, async || -> Result<(), _> {
            asked.set(asked.get() + 1);
            Err(if asked.get() == 1 { CatalogError::LeaseLost { key: "a.mp4".parse().unwrap() } } else { away() })
        });
        assert!(matches!(refused.await, Err(CatalogError::LeaseLost { .. })));
        assert_eq!(asked.get(), 1);
        let never = again(Duration::ZERO, async || -> Result<(), _> { Err(away()) });
        assert!(never.await.is_err());
    }
}
