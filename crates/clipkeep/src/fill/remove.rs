//! The end of a clip: its row first, then its object, unless others refer to it.

use std::{path::PathBuf, time::Duration};

use clipkeep_core::{generation::Clip, id::ClipKey, state::ClipState, time::Timestamp};

use super::local;
use crate::{
    catalog::{Catalog, CatalogError, Deletion},
    custody::{Custody, Doubt},
    store::{Store, StoreError},
};

/// How long the store may take before the sweep is left to remove an object.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Deletes a clip. A fill that is cut off by this on another node knows it one
/// `lease` later at most, and may have put its object until then: so the object
/// is removed now and, by the sweep, once more after two. The sweep also mends
/// what a kill or a store that is away leaves here. Dropping the future leaves
/// a tombstone or nothing.
pub async fn delete(
    catalog: &dyn Catalog,
    custody: &Custody,
    key: &ClipKey,
    now: Timestamp,
    lease: Duration,
    why: &str,
) -> Result<Deletion, CatalogError> {
    let told = catalog.delete(key, now, now.plus(lease * 2), why).await?;
    if told == Deletion::Unknown {
        return Ok(told);
    }
    match tokio::time::timeout(REMOVE_TIMEOUT, remove(catalog, custody, key)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(clip = %key, error, "a deleted clip's object stays until the sweep");
        }
        Err(_) => tracing::warn!(clip = %key, "the store is slow: a deleted clip's object stays until the sweep"),
    }
    Ok(told)
}

/// Why a deleted clip's object stays for now.
#[derive(Debug, thiserror::Error)]
pub enum NotRemoved {
    /// The catalogue did not say who refers to it.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store did not remove it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store is another's, or that cannot be told.
    #[error(transparent)]
    NotOurs(#[from] Doubt),
}

async fn remove(catalog: &dyn Catalog, custody: &Custody, key: &ClipKey) -> Result<(), NotRemoved> {
    objects(catalog, custody.ours().await?, key).await
}

/// Removes a deleted clip's poster, and its objects that no other clip refers to.
/// Nobody can begin to: see [`crate::catalog::sharing`].
pub async fn objects(catalog: &dyn Catalog, store: &Store, key: &ClipKey) -> Result<(), NotRemoved> {
    for object in catalog.removals(key).await? {
        store.delete(&object).await?;
    }
    Ok(store.delete_poster(key).await?)
}

/// Removes what earlier runs left in the spool, except copies that their clips'
/// next fill can go on with.
///
/// # Errors
/// If the catalogue or the disk does not do it.
pub async fn clear_partials(catalog: &dyn Catalog, dir: PathBuf) -> Result<(), NotCleared> {
    for (key, path, epoch) in local::kept_clips(dir).await? {
        let open = |clip: &Clip| matches!(clip.state, ClipState::Waiting | ClipState::Filling) && clip.epoch == epoch;
        let clip = catalog.clip(&key).await?.filter(|clip| *clip.first_key() == key);
        if !clip.as_ref().is_some_and(open) {
            local::remove(&path)?;
        }
    }
    Ok(())
}

/// Why the spool was not cleared.
#[derive(Debug, thiserror::Error)]
pub enum NotCleared {
    /// The catalogue did not say what its clips are.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Disk(#[from] std::io::Error),
}
