//! Who calls, by the token that is shown: the admin, or somebody who sees one
//! tenant's rows only.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clipkeep_core::{
    generation::Clip,
    id::Tenant,
    secret::Secret,
    time::Clock,
    token::{TOKEN_BYTES, TokenInfo, is_token, token_hash, token_text},
};
use data_encoding::HEXLOWER;
use quick_cache::sync::Cache;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::{sync::Semaphore, time::timeout};

use crate::catalog::{Catalog, CatalogError};

/// For how long a token that was looked up is not looked up again. A revoked
/// one works this much longer at most.
const TOKEN_CACHE_TTL: Duration = Duration::from_secs(2);
/// How many valid tokens are remembered, and how many wrong ones.
const MAX_CACHED_TOKENS: usize = 4096;
/// How many tokens that were never valid here are looked up at once: guessing
/// must not keep the catalogue busy.
const MAX_LOOKUPS: usize = 2;
/// How long one of them waits for its turn.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
/// How exactly it is known when a token was used.
const LAST_USED_PRECISION: Duration = Duration::from_secs(600);

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Sees and does everything.
    Admin,
    /// Sees and touches this tenant's rows, and knows of no others.
    Tenant(Tenant),
}

impl Caller {
    /// Whose rows alone the caller sees; none sees all.
    pub const fn tenant(&self) -> Option<&Tenant> {
        match self {
            Self::Admin => None,
            Self::Tenant(tenant) => Some(tenant),
        }
    }

    /// Whether the caller may know of a row of this tenant's. Rows that are
    /// nobody's are the admin's.
    pub fn may_see(&self, tenant: Option<&Tenant>) -> bool {
        self.tenant().is_none_or(|own| Some(own) == tenant)
    }

    /// Narrows a filter by tenant to what the caller sees; `false` if that is
    /// nothing.
    pub fn restrict(&self, tenant: &mut Option<Tenant>) -> bool {
        match self {
            Self::Admin => true,
            Self::Tenant(own) => tenant.get_or_insert_with(|| own.clone()) == own,
        }
    }

    /// Whether the caller may know of this clip.
    pub fn may_see_clip(&self, clip: &Clip) -> bool {
        self.may_see(clip.facts.tenant.as_ref())
    }
}

/// Who may call.
pub struct Authenticator {
    admin: Secret<String>,
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    /// Whom a token was found to be, and when. Guesses do not crowd it out.
    valid: Cache<String, (Instant, Caller)>,
    /// When a token was found to be wrong.
    wrong: Cache<String, Instant>,
    turns: Semaphore,
}

impl Authenticator {
    /// Those who show this token, or one that the catalogue knows.
    pub fn new(admin: Secret<String>, catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>) -> Self {
        let (valid, wrong) = (Cache::new(MAX_CACHED_TOKENS), Cache::new(MAX_CACHED_TOKENS));
        Self { admin, catalog, clock, valid, wrong, turns: Semaphore::new(MAX_LOOKUPS) }
    }

    /// Who shows this token, if it is valid. Looking up goes by the token's
    /// hash, so that the time it takes tells nothing of another's text.
    ///
    /// # Errors
    /// If the catalogue does not answer, or too many tokens wait to be looked up.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Caller>, CatalogError> {
        let hash = token_hash(token);
        if !is_token(token) && !self.is_admins(&hash) {
            return Ok(None);
        }
        self.by_hash(hash).await
    }

    /// Whose token has this hash, if it is valid.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`].
    pub async fn by_hash(&self, hash: String) -> Result<Option<Caller>, CatalogError> {
        if self.is_admins(&hash) {
            return Ok(Some(Caller::Admin));
        }
        let known = self.valid.get(&hash);
        if let Some((since, caller)) = &known
            && since.elapsed() < TOKEN_CACHE_TTL
        {
            return Ok(Some(caller.clone()));
        }
        if self.wrong.get(&hash).is_some_and(|since| since.elapsed() < TOKEN_CACHE_TTL) {
            return Ok(None);
        }
        // Who was let in before does not queue behind those who guess.
        let _turn = match known {
            Some(_) => None,
            None => Some(self.turn().await?),
        };
        self.look_up(hash).await
    }

    /// The hash of the node's own admin token.
    pub fn admin_hash(&self) -> String {
        token_hash(self.admin.expose())
    }

    fn is_admins(&self, hash: &str) -> bool {
        same(hash, &self.admin_hash())
    }

    /// Looks every token up again: one was revoked here.
    pub fn forget(&self) {
        self.valid.clear();
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, CatalogError> {
        const DOING: &str = "looking a token up";
        let turn = timeout(LOOKUP_TIMEOUT, self.turns.acquire()).await;
        let turn = turn.map_err(|late| CatalogError::unavailable(DOING, late))?;
        turn.map_err(|closed| CatalogError::unavailable(DOING, closed))
    }

    async fn look_up(&self, hash: String) -> Result<Option<Caller>, CatalogError> {
        let since = Instant::now();
        let Some(token) = self.catalog.token(&hash).await? else {
            self.valid.remove(&hash);
            self.wrong.insert(hash, since);
            return Ok(None);
        };
        let caller = token.tenant.clone().map_or(Caller::Admin, Caller::Tenant);
        self.valid.insert(hash, (since, caller.clone()));
        self.record_use(&token).await;
        Ok(Some(caller))
    }

    async fn record_use(&self, token: &TokenInfo) {
        let now = self.clock.now();
        if token.last_used_at.is_some_and(|at| now < at.plus(LAST_USED_PRECISION)) {
            return;
        }
        if let Err(error) = self.catalog.token_used(&token.id, now).await {
            tracing::warn!(error = &error as &dyn std::error::Error, token = token.id, "cannot note a token's use");
        }
    }
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The system has no random bytes.
    #[error("the system gives no random bytes")]
    NoRandom,
    /// It could not be kept.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Makes a token for `tenant`, or an admin's, and keeps its hash. The token
/// itself is shown to whoever asked, and to nobody again.
///
/// # Errors
/// If it cannot be made or kept.
pub async fn issue(
    catalog: &dyn Catalog,
    clock: &dyn Clock,
    name: String,
    tenant: Option<Tenant>,
) -> Result<(Secret<String>, TokenInfo), IssueError> {
    let (mut secret, mut id) = ([0; TOKEN_BYTES], [0; 6]);
    let random = SystemRandom::new();
    random.fill(&mut secret).and_then(|()| random.fill(&mut id)).map_err(|_| IssueError::NoRandom)?;
    let (token, id, created_at) = (token_text(&secret), HEXLOWER.encode(&id), clock.now());
    let info = TokenInfo { id, name, tenant, created_at, last_used_at: None, revoked_at: None };
    catalog.create_token(&info, &token_hash(&token)).await?;
    Ok((Secret::new(token), info))
}

/// Compares in a time that depends on the lengths alone.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
