//! Whose store it is. The store carries the id of its catalogue, so that a folder
//! that is not mounted, or a bucket that is somebody else's, is never taken for a
//! store that lost everything.
//!
//! Whoever would conclude from an absent object that a clip is lost asks here
//! first, and so does whoever writes, adopts or removes one: a bucket may answer
//! only after the start, and a folder may be changed for another under a running
//! node.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use crate::{
    catalog::{Catalog, CatalogError},
    error_text::error_text,
    shared_probe::SharedProbe,
    store::{Marker, Store, StoreError},
};

/// How many stored clips are looked for where the store does not say whose it is.
const SAMPLE: u32 = 20;
/// How long a node waits for a bucket that does not answer before it starts
/// without having asked: webhooks must be taken all the same.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a bucket is asked at most, and an absent folder's clips are looked for.
const CHECK_INTERVAL: Duration = Duration::from_secs(3);
/// How long who asks for readiness waits for a look.
const A_MOMENT: Duration = Duration::from_millis(200);

/// Why nothing is done with a store.
#[derive(Debug, thiserror::Error)]
pub enum NotOurs {
    /// Another catalogue's.
    #[error(
        "the store is that of another catalogue ({theirs}), this database is {ours}: are `store` and `database` the \
         right ones? hint: if they are (the old database is gone for good), say so with `clipkeep doctor --adopt-store`"
    )]
    Anothers { ours: String, theirs: String },
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

impl NotOurs {
    /// Whether the store answered, and is not this catalogue's.
    const fn is_known(&self) -> bool {
        matches!(self, Self::Anothers { .. } | Self::Bare)
    }

    /// Whether it may answer otherwise by itself.
    const fn is_passing(&self) -> bool {
        matches!(self, Self::Store(error) if !matches!(error, StoreError::NoBucket { .. }))
    }

    /// What of it strangers may hear.
    const fn in_short(&self) -> Option<&'static str> {
        match self {
            Self::Anothers { .. } => Some("the store is another catalogue's: see the log"),
            Self::Bare => Some("the store holds nothing of this catalogue: see the log"),
            Self::Catalog(_) | Self::Store(_) => None,
        }
    }
}

/// Why nothing is done with a store now, for all who asked at once.
pub type Doubt = Arc<NotOurs>;

/// What a process knows of whose its store is.
pub struct Custody {
    catalog: Arc<dyn Catalog>,
    store: Arc<Store>,
    looks: SharedProbe<Result<(), Doubt>>,
    /// When the last look was, and what it saw.
    seen: Mutex<Option<(Instant, Result<(), Doubt>)>>,
}

impl Custody {
    /// Nothing is known yet.
    pub fn new(catalog: Arc<dyn Catalog>, store: Arc<Store>) -> Self {
        Self { catalog, store, looks: SharedProbe::new(CHECK_INTERVAL), seen: Mutex::default() }
    }

    /// Looks whose store it is, for who must start, come what may: a bucket that
    /// does not answer is asked again before anything is done with it.
    ///
    /// # Errors
    /// If it is known not to be ours; if there is no such bucket; or if a folder
    /// cannot be read.
    pub async fn begin(&self) -> Result<(), Doubt> {
        let why = match timeout(CHECK_TIMEOUT, self.ours()).await {
            Ok(Err(doubt)) if !self.store.is_folder() && doubt.is_passing() => error_text(&doubt),
            Ok(seen) => {
                seen?;
                return self.store.make().await.map_err(|error| Arc::new(error.into()));
            }
            Err(late) => late.to_string(),
        };
        tracing::warn!(why, "whose the bucket is cannot be told yet: nothing is stored before it can");
        Ok(())
    }

    /// The store, if it is this catalogue's, as of the last few seconds. Nobody
    /// writes, adopts or removes an object who did not get it from here.
    ///
    /// # Errors
    /// If it is not, or if that cannot be told now.
    pub async fn ours(&self) -> Result<&Store, Doubt> {
        let found = match self.store.is_folder() {
            true => self.folder_is_ours().await,
            false => self.bucket_is_ours().await,
        };
        self.record(&found);
        found.map(|()| &*self.store)
    }

    fn record(&self, found: &Result<(), Doubt>) {
        let mut seen = self.seen.lock();
        let before = seen.take();
        let at = match (&before, found) {
            // No look of its own.
            (Some((at, Err(was))), Err(is)) if Arc::ptr_eq(was, is) => *at,
            _ => Instant::now(),
        };
        log_change(before.and_then(|(_, before)| before.err()).as_deref(), found);
        *seen = Some((at, found.clone()));
    }

    /// A folder's mark is read each time. Where there is none its clips are looked
    /// for, and not again at once if there was none of them.
    async fn folder_is_ours(&self) -> Result<(), Doubt> {
        match said(&*self.catalog, &self.store).await.map_err(Arc::new)? {
            (_, Marker::Of(_)) => Ok(()),
            (_, Marker::None | Marker::Unreadable) => match self.known() {
                Some((at, doubt)) if at.elapsed() < CHECK_INTERVAL => Err(doubt),
                _ => take(&*self.catalog, &self.store).await.map_err(Arc::new),
            },
        }
    }

    /// All who ask of a bucket share a look.
    async fn bucket_is_ours(&self) -> Result<(), Doubt> {
        let (catalog, store) = (Arc::clone(&self.catalog), Arc::clone(&self.store));
        let look = async move { take(&*catalog, &store).await.map_err(Arc::new) };
        let ends = || Arc::new(CatalogError::unavailable("asking whose the store is", "the process ends").into());
        self.looks.at(look).await.unwrap_or_else(|| Err(ends()))
    }

    /// The same for who is about to ask a source: that a store does not answer is
    /// no reason to let its viewers wait, nor is a bucket that was ours just now.
    ///
    /// # Errors
    /// If it is known not to be ours.
    pub async fn not_anothers(&self) -> Result<(), Doubt> {
        if !self.store.is_folder() && self.known().is_none() {
            return Ok(());
        }
        self.ours().await.map(drop).or_else(|doubt| if doubt.is_known() { Err(doubt) } else { Ok(()) })
    }

    /// Why the store takes nothing although it answers, if that is so. A bucket
    /// that is ours is not asked again for this.
    pub async fn trouble(&self) -> Option<&'static str> {
        let is_sure = matches!(*self.seen.lock(), Some((_, Ok(()))));
        if self.store.is_folder() || !is_sure {
            // A look that takes longer goes on, and the next one who asks hears of it.
            drop(timeout(A_MOMENT, self.ours()).await);
        }
        self.known()?.1.in_short()
    }

    /// What the last look saw that is wrong with the store, and when.
    fn known(&self) -> Option<(Instant, Doubt)> {
        let seen = self.seen.lock();
        let (at, found) = seen.as_ref()?;
        found.as_ref().err().filter(|doubt| doubt.is_known()).map(|doubt| (*at, Arc::clone(doubt)))
    }
}

/// Tells once that the store became another's, or ours again.
fn log_change(before: Option<&NotOurs>, now: &Result<(), Doubt>) {
    let was_known = before.is_some_and(NotOurs::is_known);
    match now {
        Err(doubt) if doubt.is_known() && !was_known => {
            tracing::error!(error = doubt as &dyn std::error::Error, "nothing is stored and nothing is removed");
        }
        Ok(()) if was_known => tracing::info!("the store is this catalogue's again"),
        _ => {}
    }
}

/// Makes sure that the store is this catalogue's, and marks it where it has no
/// mark yet: one that holds some of the stored clips, or any if none is stored.
/// A kill at any point leaves a store that is ours or has no mark.
///
/// # Errors
/// If it is not, with what to do; or if it cannot be known.
pub async fn take(catalog: &dyn Catalog, store: &Store) -> Result<(), NotOurs> {
    let (ours, marker) = said(catalog, store).await?;
    match marker {
        Marker::Of(_) => return Ok(()),
        Marker::None => {}
        Marker::Unreadable => store.unmark().await?,
    }
    if !holds_some(catalog, store).await? {
        return Err(NotOurs::Bare);
    }
    mark(store, ours).await
}

/// This catalogue's id, and what the store says of itself, which is no other's.
async fn said(catalog: &dyn Catalog, store: &Store) -> Result<(String, Marker), NotOurs> {
    let ours = catalog.identity().await?;
    match store.marker().await? {
        Marker::Of(theirs) if theirs != ours => Err(NotOurs::Anothers { ours, theirs }),
        marker => Ok((ours, marker)),
    }
}

/// What `take` would say, and nothing is written.
///
/// # Errors
/// As `take`.
pub async fn look(catalog: &dyn Catalog, store: &Store) -> Result<(), NotOurs> {
    match said(catalog, store).await?.1 {
        Marker::Of(_) => Ok(()),
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
        marked => marked?,
    }
    // Another may have been faster, a node beside us or somebody else's; or wrote
    // over ours, where the bucket does not know of conditions.
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
