//! The same bytes once: a clip whose bytes are stored already, for the same
//! tenant, refers to that object instead of having one of its own.

use super::{Inner, attempt::Ongoing, settle, task::FillError};

/// Stores the claimed clip by a twin's object, if there is such a twin and its
/// object is in the store. Answers whether it did; if not, nothing happened.
///
/// All that makes it so is one transaction, which sees to it that the twin is
/// still stored. Killed before it, the next attempt looks again; after it, the
/// clip is stored, and what it had begun to upload is aborted as any upload that
/// nobody ends. Two nodes that store the same bytes at the same time may not see
/// each other: then there are two objects, as without this.
pub(super) async fn with_twin(inner: &Inner, ongoing: &Ongoing) -> Result<bool, FillError> {
    let (parts, claim) = (&inner.parts, &ongoing.claim);
    let key = &claim.lease.key;
    if !parts.settings.share_objects || claim.clip.source_url.is_own_store() {
        return Ok(false);
    }
    let Some(twin) = parts.catalog.twin(key).await? else { return Ok(false) };
    let object = parts.store.head(&twin.object).await?;
    if object.is_none_or(|object| object.size != twin.size) {
        return Ok(false);
    }
    // Damaged bytes of its own, or a stranger's: nobody will ask for them.
    if parts.store.head(key).await?.is_some() {
        settle::still_held(inner, claim).await?;
        parts.store.delete(key).await?;
    }
    let shared = parts.catalog.mark_shared(&claim.lease, &twin, ongoing.ended(inner)).await?;
    if shared {
        parts.metrics.shared(twin.size);
    }
    Ok(shared)
}
