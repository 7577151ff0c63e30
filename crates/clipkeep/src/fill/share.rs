//! The same bytes once: a clip whose bytes are stored already, for the same
//! tenant, refers to that object instead of having one of its own.

use super::{Inner, attempt::Ongoing, finalize, task::FillError};
use crate::{catalog::sharing::Duplicate, store::StoreError};

/// What a bucket copies in one request, at most: a clip that shares must be able
/// to part (S3, CopyObject).
const LARGEST_COPY: u64 = 5 << 30;

/// A duplicate of the claimed clip whose object is in the store, if there is one.
/// Two nodes that store the same bytes at the same time may not see each other:
/// then there are two objects, as without this.
pub(super) async fn find(inner: &Inner, ongoing: &Ongoing) -> Result<Option<Duplicate>, FillError> {
    let (parts, claim) = (&inner.parts, &ongoing.claim);
    let key = &claim.lease.key;
    if !parts.settings.share_objects || claim.clip.source_url.is_own_store() {
        return Ok(None);
    }
    let Some(duplicate) = parts.catalog.find_duplicate(key).await? else { return Ok(None) };
    if !parts.store.is_folder() && duplicate.size > LARGEST_COPY {
        return Ok(None);
    }
    // What is dropped for its sake must be there: read, not believed.
    match parts.custody.ours().await?.hash(&duplicate.object).await {
        Ok(object) if (object.size, &object.sha256) == (duplicate.size, &duplicate.sha256) => {}
        Ok(_) | Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // Damaged bytes of its own, or a stranger's: nobody will ask for them.
    if parts.store.head(key).await?.is_some() {
        finalize::still_ours(inner, claim).await?.delete(key).await?;
    }
    Ok(Some(duplicate))
}

/// Stores the claimed clip by its duplicate's object. All that makes it so is one
/// transaction, which sees to it that the duplicate is still stored; `false`, and
/// nothing happened, if it is not.
pub(super) async fn refer(inner: &Inner, ongoing: &Ongoing, duplicate: &Duplicate) -> Result<bool, FillError> {
    let parts = &inner.parts;
    let shared = parts.catalog.mark_shared(&ongoing.claim.lease, duplicate, ongoing.ended(inner)).await?;
    if shared {
        parts.metrics.shared(duplicate.size);
    }
    Ok(shared)
}

/// Both, if nothing is staged.
pub(super) async fn from_duplicate(inner: &Inner, ongoing: &Ongoing) -> Result<bool, FillError> {
    match find(inner, ongoing).await? {
        Some(duplicate) => refer(inner, ongoing, &duplicate).await,
        None => Ok(false),
    }
}
