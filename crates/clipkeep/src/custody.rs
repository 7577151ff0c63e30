//! Whose store it is. The store carries the id of its catalogue, so that a folder
//! that is not mounted, or a bucket that is somebody else's, is never taken for a
//! store that lost everything.
//!
//! Whoever would conclude from an absent object that a clip is lost asks here
//! first, and so does whoever begins to write.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    catalog::{Catalog, CatalogError},
    store::{Marker, Store, StoreError},
};

/// How many stored clips are looked for where the store does not say whose it is.
const SAMPLE: u32 = 20;
/// How long a node waits for a bucket that does not answer before it starts
/// without having asked: webhooks must be taken all the same.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why nothing is done with a store.
#[derive(Debug, thiserror::Error)]
pub enum NotOurs {
    /// Another catalogue's.
    #[error(
        "the store is that of another catalogue ({theirs}), this database is {ours}: are `store` and `database` the \
         right ones? hint: if they are (the old database is gone for good), say so with `clipkeep doctor --adopt-store`"
    )]
    Anothers {
        /// This catalogue's id.
        ours: String,
        /// What the store says.
        theirs: String,
    },
    /// Nothing in it is ours.
    #[error(
        "the store holds no mark of this catalogue and none of its stored clips: is it mounted, and is `store` the right \
         one? hint: if it is (all objects are gone for good), say so with `clipkeep doctor --adopt-store`"
    )]
    Bare,
    /// The catalogue did not answer.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes sure that the store is this catalogue's, and marks it where it has no
/// mark yet: one that holds some of the stored clips, or any if none is stored.
/// A kill at any point leaves a store that is ours or has no mark.
///
/// # Errors
/// If it is not, with what to do; or if it cannot be known.
pub async fn take(catalog: &dyn Catalog, store: &Store) -> Result<(), NotOurs> {
    let ours = catalog.identity().await?;
    match store.marker().await? {
        Marker::Of(theirs) if theirs == ours => return Ok(()),
        Marker::Of(theirs) => return Err(NotOurs::Anothers { ours, theirs }),
        Marker::None => {}
        Marker::Unreadable => store.unmark().await?,
    }
    if !holds_some(catalog, store).await? {
        return Err(NotOurs::Bare);
    }
    mark(store, ours).await
}

/// The same for who must start, come what may: a bucket that does not answer is
/// asked later, by the sweep.
///
/// # Errors
/// If it is known not to be ours; or if a folder cannot be read.
pub async fn take_or_start(catalog: &dyn Catalog, store: &Store) -> Result<(), NotOurs> {
    let why = match timeout(PATIENCE, take(catalog, store)).await {
        Ok(Err(NotOurs::Store(error))) if !store.is_folder() => error.to_string(),
        Ok(taken) => {
            taken?;
            return Ok(store.make().await?);
        }
        Err(late) => late.to_string(),
    };
    tracing::warn!(why, "the bucket does not answer: whether it is this catalogue's is asked later");
    Ok(())
}

/// What `take` would say, and nothing is written.
///
/// # Errors
/// As `take`.
pub async fn look(catalog: &dyn Catalog, store: &Store) -> Result<(), NotOurs> {
    let ours = catalog.identity().await?;
    match store.marker().await? {
        Marker::Of(theirs) if theirs == ours => Ok(()),
        Marker::Of(theirs) => Err(NotOurs::Anothers { ours, theirs }),
        Marker::None | Marker::Unreadable if holds_some(catalog, store).await? => Ok(()),
        Marker::None | Marker::Unreadable => Err(NotOurs::Bare),
    }
}

/// Marks the store as this catalogue's, whatever it says. For somebody who knows.
///
/// # Errors
/// If the catalogue or the store does not answer.
pub async fn adopt(catalog: &dyn Catalog, store: &Store) -> Result<(), NotOurs> {
    store.unmark().await?;
    mark(store, catalog.identity().await?).await
}

async fn mark(store: &Store, ours: String) -> Result<(), NotOurs> {
    store.make().await?;
    match store.mark(&ours).await {
        Err(StoreError::Exists { .. }) => {}
        marked => return Ok(marked?),
    }
    // Another was faster: a node beside us, or somebody else's.
    match store.marker().await? {
        Marker::Of(theirs) if theirs != ours => Err(NotOurs::Anothers { ours, theirs }),
        _ => Ok(()),
    }
}

/// Whether the store holds one of the clips that are stored; or none is.
async fn holds_some(catalog: &dyn Catalog, store: &Store) -> Result<bool, NotOurs> {
    let sample = catalog.sample(SAMPLE).await?;
    for key in &sample {
        let Some(row) = catalog.stored_object(key).await? else { continue };
        if store.head(&row.object).await?.is_some_and(|object| object.size == row.size) {
            return Ok(true);
        }
    }
    Ok(sample.is_empty())
}
