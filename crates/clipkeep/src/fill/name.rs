//! A clip whose bytes are not what it was announced as: a webhook may call an MP4
//! `image/png`, and so may its URL. Its name follows the bytes, once all of them
//! are here and judged, and before its object is visible under any name. The
//! name that it had leads to it from then on.
//!
//! The renaming is one transaction. A kill before it leaves a clip of the old
//! name and a local copy, from which the next attempt does all this again; a kill
//! after it leaves a clip of the new name, and the same copy, which goes by the
//! name under which the clip was announced.

use std::sync::Arc;

use clipkeep_core::{generation::Sealed, id::ClipKey, media_type::MediaType, name};

use super::{Inner, attempt::Ongoing, finalize::still_ours, local::LocalCopy, registry::Running, task::FillError};
use crate::{
    catalog::{CatalogError, Claim},
    store::Staged,
};

/// The name that the clip is to have, if it is another and nobody has it.
pub(super) async fn wanted(
    inner: &Inner,
    claim: &Claim,
    container: &MediaType,
    sealed: &Sealed,
) -> Result<Option<ClipKey>, CatalogError> {
    let Some(to) = name::right(&claim.clip, container, &sealed.media) else { return Ok(None) };
    let other = inner.parts.catalog.clip(&to).await?.filter(|other| other.key != claim.clip.key);
    if let Some(other) = &other {
        tracing::warn!(clip = %claim.clip.key, taken = %other.key, "keeps a name that is not what it is");
    }
    Ok(other.is_none().then_some(to))
}

/// Leaves nothing in the store under the name that the clip is about to lose: no
/// upload, and no object of a time when it was stored before. That goes only now
/// that all of the right bytes are here, so that a kill costs no second download.
pub(super) async fn clear(
    inner: &Inner,
    claim: &Claim,
    file: &Arc<LocalCopy>,
    staged: Option<Staged>,
) -> Result<(), FillError> {
    file.persist().await?;
    if let Some(staged) = staged {
        staged.abort().await;
    }
    let key = &claim.lease.key;
    let is_there = inner.parts.custody.ours().await?.head(key).await?.is_some();
    let store = still_ours(inner, claim).await?;
    if is_there {
        store.delete(key).await?;
    }
    Ok(())
}

/// Gives the clip its name, unless somebody else was given it meanwhile. Viewers
/// who ask by it join this fill from the first moment on.
pub(super) async fn give(
    inner: &Inner,
    ongoing: &mut Ongoing,
    running: &Running,
    to: ClipKey,
) -> Result<(), CatalogError> {
    let parts = &inner.parts;
    running.answer_to(&to);
    if parts.catalog.rename(&ongoing.claim.lease, &to, parts.clock.now()).await? {
        tracing::info!(clip = %to, was = %ongoing.claim.lease.key, "named by what it is");
        ongoing.renamed(to);
    } else {
        running.answer_to_no_other();
    }
    Ok(())
}
