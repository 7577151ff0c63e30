//! Links that are revoked before their time.

use async_trait::async_trait;
use clipkeep_core::{
    id::{ClipKey, Tenant},
    link::Revocation,
    time::Timestamp,
};

use super::Result;

/// How many revocations there may be: every node holds all of them in memory.
pub const MAX_REVOCATIONS: u32 = 100_000;

/// How many links one tenant may have revoked at a time.
pub const MAX_REVOCATIONS_PER_TENANT: u32 = MAX_REVOCATIONS / 4;
/// How many all tenants together may: the rest is the admin's.
pub const MAX_REVOCATIONS_OF_TENANTS: u32 = MAX_REVOCATIONS / 4 * 3;

/// Whose generation an event about links is: nobody's. Its key or its detail
/// says what was revoked.
pub(crate) const NOBODY: [&str; 2] = ["clipkeep", "links"];

/// The part of the catalogue that remembers what was revoked. Each verb tells
/// all nodes by an event.
#[async_trait]
pub trait Revocations {
    /// Everything that is revoked and matters at `now`.
    async fn revocations(&self, now: Timestamp) -> Result<Vec<Revocation>>;

    /// Remembers a revocation until it ends, and forgets those that did. What is
    /// revoked already stays so. `false` if there are too many already, in all or
    /// of this tenant's; of a key's there never are.
    async fn revoke(&self, revocation: &Revocation, by: Option<&Tenant>, at: Timestamp) -> Result<bool>;

    /// Revokes all of a clip's links: raises its link generation, and answers
    /// it. `None` if there is no such clip.
    async fn revoke_links_of(&self, key: &ClipKey, at: Timestamp) -> Result<Option<u32>>;
}
