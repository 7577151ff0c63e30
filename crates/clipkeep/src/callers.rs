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
    token::{is_token, token_hash},
};
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use crate::catalog::{Catalog, CatalogError};

/// For how long a token that was looked up is not looked up again. A revoked
/// one works this much longer at most.
const REMEMBERED: Duration = Duration::from_secs(2);
/// How many tokens are remembered, wrong ones among them.
const TOKENS: usize = 4096;
/// How many are looked up at once: guessing must not keep the catalogue busy.
const LOOKUPS: usize = 4;

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
    pub fn sees(&self, tenant: Option<&Tenant>) -> bool {
        self.tenant().is_none_or(|own| Some(own) == tenant)
    }

    /// Whether the caller may know of this clip.
    pub fn sees_clip(&self, clip: &Clip) -> bool {
        self.sees(clip.facts.tenant.as_ref())
    }
}

/// What a token was found to be, and when.
type Remembered = (Instant, Option<Caller>);

/// Who may call.
pub struct Callers {
    admin: Secret<String>,
    catalog: Arc<dyn Catalog>,
    known: Cache<String, Remembered>,
    turns: Semaphore,
}

impl Callers {
    /// Those who show this token, or one that the catalogue knows.
    pub fn new(admin: Secret<String>, catalog: Arc<dyn Catalog>) -> Self {
        Self { admin, catalog, known: Cache::new(TOKENS), turns: Semaphore::new(LOOKUPS) }
    }

    /// Who shows this token, if it is valid. Looking up goes by the token's
    /// hash, so that the time it takes tells nothing of another's text.
    ///
    /// # Errors
    /// If the catalogue does not answer.
    pub async fn who(&self, token: &str) -> Result<Option<Caller>, CatalogError> {
        let hash = token_hash(token);
        if same(&hash, &token_hash(self.admin.expose())) {
            return Ok(Some(Caller::Admin));
        }
        if !is_token(token) {
            return Ok(None);
        }
        if let Some((since, caller)) = self.known.get(&hash)
            && since.elapsed() < REMEMBERED
        {
            return Ok(caller);
        }
        let since = Instant::now();
        let turn = self.turns.acquire().await;
        let caller = self.catalog.token(&hash).await?.map(|token| token.tenant.map_or(Caller::Admin, Caller::Tenant));
        drop(turn);
        self.known.insert(hash, (since, caller.clone()));
        Ok(caller)
    }
}

/// Compares in a time that depends on the lengths alone.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
