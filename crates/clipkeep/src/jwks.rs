//! The provider's webhook keys: cached, refreshed when they age or none fits.

use std::{sync::Arc, time::Duration};

use clipkeep_core::{hook::jwks, hook::jwks::JwksKey};
use parking_lot::RwLock;
use tokio::{sync::Mutex, time::Instant};

/// How long keys may be used without asking again (fal: at most 24 h).
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// How often strangers with bad signatures can make us ask again.
const MIN_AGE: Duration = Duration::from_secs(10);
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The endpoint did not answer, or not with 200.
    #[error("fetching the webhook keys (fal_jwks_url)")]
    Fetch(#[source] reqwest::Error),
    /// They could not be had a moment ago; asking again has to wait.
    #[error("the webhook keys (fal_jwks_url) could not be had a moment ago")]
    Resting,
    /// The answer was larger than a key set can be.
    #[error("the webhook key set (fal_jwks_url) is larger than {} KiB", jwks::MAX_LEN / 1024)]
    TooLarge,
    /// The answer was no key set.
    #[error("reading the webhook keys (fal_jwks_url)")]
    Parse(#[from] jwks::JwksError),
}

/// The cached keys of one JWKS endpoint.
pub struct JwksCache {
    url: String,
    client: reqwest::Client,
    cached: RwLock<Option<Cached>>,
    /// Held while asking, so that a burst asks once.
    asking: Mutex<Failures>,
}

/// Failures in a row. Strangers with forged webhooks must not make us ask again
/// and again while the endpoint is away.
#[derive(Default)]
struct Failures {
    count: u32,
    last: Option<Instant>,
}

impl Failures {
    /// Whether it is too soon to ask again: after the first failure it never is,
    /// and never for longer than ten seconds.
    fn is_too_soon(&self) -> bool {
        let pause = match self.count {
            0 | 1 => Duration::ZERO,
            more => Duration::from_secs(1 << (more - 2).min(4)).min(MIN_AGE),
        };
        self.last.is_some_and(|last| last.elapsed() < pause)
    }
}

#[derive(Clone)]
struct Cached {
    keys: Arc<[JwksKey]>,
    fetched: Instant,
}

impl JwksCache {
    /// A cache that has asked nothing yet.
    pub fn new(url: String, client: reqwest::Client) -> Self {
        Self { url, client, cached: RwLock::new(None), asking: Mutex::default() }
    }

    /// The keys, from the cache while they are young enough.
    ///
    /// # Errors
    /// If there are none and none can be had. Keys that aged stay in use while
    /// the endpoint is away: a forger gains nothing by its outage.
    pub async fn keys(&self) -> Result<Arc<[JwksKey]>, JwksError> {
        let cached = self.cached.read().clone();
        match cached {
            Some(cached) if cached.fetched.elapsed() < MAX_AGE => Ok(cached.keys),
            Some(cached) => Ok(self.refresh(MIN_AGE).await.unwrap_or(cached.keys)),
            None => self.refresh(Duration::ZERO).await,
        }
    }

    /// The keys, asked for afresh because none of the cached ones fitted;
    /// but not more often than once in ten seconds.
    ///
    /// # Errors
    /// If they cannot be had.
    pub async fn newer_keys(&self) -> Result<Arc<[JwksKey]>, JwksError> {
        self.refresh(MIN_AGE).await
    }

    /// Puts the key that fitted first, so that the next webhook tries it first.
    pub fn prefer(&self, index: usize) {
        let mut cached = self.cached.write();
        if let Some(cached) = cached.as_mut().filter(|c| index > 0 && index < c.keys.len()) {
            let mut keys = cached.keys.to_vec();
            keys.swap(0, index);
            cached.keys = keys.into();
        }
    }

    async fn refresh(&self, unless_younger: Duration) -> Result<Arc<[JwksKey]>, JwksError> {
        let mut failures = self.asking.lock().await;
        let cached = self.cached.read().clone();
        if let Some(cached) = cached.filter(|c| c.fetched.elapsed() < unless_younger.max(Duration::from_millis(1))) {
            return Ok(cached.keys);
        }
        if failures.is_too_soon() {
            return Err(JwksError::Resting);
        }
        // Counted first: who leaves while it is asked has asked all the same.
        *failures = Failures { count: failures.count.saturating_add(1), last: Some(Instant::now()) };
        let fetched = self.fetch().await;
        failures.last = Some(Instant::now());
        let keys: Arc<[JwksKey]> = fetched?.into();
        *failures = Failures::default();
        *self.cached.write() = Some(Cached { keys: Arc::clone(&keys), fetched: Instant::now() });
        Ok(keys)
    }

    async fn fetch(&self) -> Result<Vec<JwksKey>, JwksError> {
        let request = self.client.get(&self.url).timeout(FETCH_TIMEOUT);
        let mut response = request.send().await.and_then(reqwest::Response::error_for_status).map_err(quiet)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(quiet)? {
            body.extend_from_slice(&chunk);
            if body.len() > jwks::MAX_LEN {
                return Err(JwksError::TooLarge);
            }
        }
        Ok(jwks::parse(&body)?)
    }
}

fn quiet(error: reqwest::Error) -> JwksError {
    JwksError::Fetch(error.without_url())
}
