//! Who is logged in to the console: a secret in a cookie, of which the catalogue
//! keeps the hash beside that of the token it was opened with. So a session
//! ends with its token, on every node, within seconds.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use clipkeep_core::{secret::Secret, time::Clock, token::token_hash};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom as _, SystemRandom},
};
use tokio::sync::Semaphore;

use crate::{
    auth::{Authenticator, Caller, IssueError, same},
    catalog::{Catalog, CatalogError, sessions::Session},
};

/// How long a session lasts.
pub const SESSION_TTL: Duration = Duration::from_secs(24 * 3600);
/// For how long one that was looked up is not looked up again.
const SESSION_CACHE_TTL: Duration = Duration::from_secs(2);
/// How many sessions, and how many addresses that fail, are remembered.
const MAX_CACHED_SESSIONS: usize = 4096;
/// How many unknown secrets are looked up at once: guessing must not keep the
/// catalogue busy.
const MAX_LOOKUPS: usize = 2;
/// A secret's bytes, and the letters that they take.
const SECRET: usize = 32;
const LETTERS: usize = 43;
/// How many log-ins may fail from one address, and in which time.
const MAX_FAILURES: u32 = 10;
const FAILURE_WINDOW: Duration = Duration::from_secs(60);

/// A visitor's session.
#[derive(Clone, Debug)]
pub struct Visit {
    pub caller: Caller,
    /// What forms carry, so that no other site can send them.
    pub csrf: String,
}

/// The sessions of the console.
pub struct Sessions {
    catalog: Arc<dyn Catalog>,
    auth: Arc<Authenticator>,
    clock: Arc<dyn Clock>,
    known: Cache<String, (Instant, Session)>,
    turns: Semaphore,
    /// When an address failed first, and how often since.
    failed: Cache<IpAddr, (Instant, u32)>,
    /// Opens one session without a token.
    once: Mutex<Option<String>>,
}

impl Sessions {
    /// Nobody is known yet.
    pub fn new(catalog: Arc<dyn Catalog>, auth: Arc<Authenticator>, clock: Arc<dyn Clock>) -> Self {
        Self {
            catalog,
            auth,
            clock,
            known: Cache::new(MAX_CACHED_SESSIONS),
            turns: Semaphore::new(MAX_LOOKUPS),
            failed: Cache::new(MAX_CACHED_SESSIONS),
            once: Mutex::default(),
        }
    }

    /// How long this address must wait before it may try another token.
    pub fn must_wait(&self, from: IpAddr) -> Option<Duration> {
        let (since, times) = self.failed.get(&from)?;
        let left = FAILURE_WINDOW.checked_sub(since.elapsed())?;
        (times >= MAX_FAILURES).then_some(left)
    }

    /// A token from this address opened nothing.
    pub fn failed(&self, from: IpAddr) {
        let before = self.failed.get(&from).filter(|(since, _)| since.elapsed() < FAILURE_WINDOW);
        let (since, times) = before.unwrap_or_else(|| (Instant::now(), 0));
        self.failed.insert(from, (since, times + 1));
    }

    /// Opens a session for who showed the token with this hash; answers its secret.
    ///
    /// # Errors
    /// If it cannot be made or kept.
    pub async fn open(&self, token_hash: String) -> Result<Secret<String>, IssueError> {
        let secret = random().ok_or(IssueError::NoRandom)?;
        let now = self.clock.now();
        let session = Session { hash: hash(&secret), token_hash, expires_at: now.plus(SESSION_TTL) };
        self.catalog.begin_session(&session, now).await?;
        Ok(Secret::new(secret))
    }

    /// Whose session has this secret, if it is not over.
    ///
    /// # Errors
    /// If the catalogue does not answer.
    pub async fn find(&self, secret: &str) -> Result<Option<Visit>, CatalogError> {
        if secret.len() != LETTERS || !secret.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            return Ok(None);
        }
        let Some(session) = self.look_up(hash(secret)).await? else { return Ok(None) };
        let caller = self.auth.by_hash(session.token_hash).await?;
        Ok(caller.map(|caller| Visit { caller, csrf: csrf(secret) }))
    }

    async fn look_up(&self, hash: String) -> Result<Option<Session>, CatalogError> {
        let now = self.clock.now();
        let known = self.known.get(&hash);
        if let Some((since, session)) = &known
            && since.elapsed() < SESSION_CACHE_TTL
        {
            return Ok(Some(session.clone()).filter(|session| session.expires_at > now));
        }
        let _turn = match known {
            Some(_) => None,
            None => self.turns.acquire().await.ok(),
        };
        let since = Instant::now();
        let found = self.catalog.session(&hash, now).await?;
        match &found {
            Some(session) => self.known.insert(hash, (since, session.clone())),
            None => {
                self.known.remove(&hash);
            }
        }
        Ok(found)
    }

    /// Ends a session, here at once and on other nodes within seconds.
    ///
    /// # Errors
    /// If the catalogue does not answer.
    pub async fn close(&self, secret: &str) -> Result<(), CatalogError> {
        let hash = hash(secret);
        self.catalog.end_session(&hash).await?;
        self.known.remove(&hash);
        Ok(())
    }

    /// A code that opens one session of the admin's, once; for who sits at this
    /// machine. None without randomness.
    pub fn once(&self) -> Option<String> {
        let code = random()?;
        *self.once.lock() = Some(code.clone());
        Some(code)
    }

    /// Whether this is that code; it is none from then on.
    pub fn take_once(&self, code: &str) -> bool {
        let mut once = self.once.lock();
        let is_it = once.as_ref().is_some_and(|known| same(&hash(known), &hash(code)));
        if is_it {
            *once = None;
        }
        is_it
    }
}

fn random() -> Option<String> {
    let mut bytes = [0; SECRET];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(BASE64URL_NOPAD.encode(&bytes))
}

fn hash(secret: &str) -> String {
    token_hash(secret)
}

/// What a page's forms must carry: who has the cookie alone cannot tell it, since
/// no script sees the cookie; and it does not tell the secret.
fn csrf(secret: &str) -> String {
    HEXLOWER.encode(digest(&SHA256, format!("clipkeep-csrf\n{secret}").as_bytes()).as_ref())
}
