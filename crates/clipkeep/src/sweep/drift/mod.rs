//! Drift: rows without objects, objects without rows, and what was begun and
//! never ended. Everything is walked through page by page, in bounded memory,
//! and nothing is done on the word of a listing alone: listings lag.
//!
//! Each step is one verb of the catalogue or one request to the store, so a run
//! may end anywhere.

mod leftovers;
mod objects;
mod rows;

use std::{path::PathBuf, time::Duration};

use clipkeep_core::{id::ClipKey, media_type::MediaType, time::Clock};
use serde::Serialize;

pub use crate::catalog::NOTICE_DELAY;
use crate::{
    catalog::{Catalog, CatalogError},
    custody::{self, NotOurs},
    store::{Store, StoreError},
};

/// How many rows or objects are looked at together.
const PAGE: u32 = 1000;
/// How many names a report shows.
const EXAMPLES: usize = 20;
/// So few are never taken for a store, or a catalogue, that is the wrong one.
const ALWAYS_ALLOWED: usize = 20;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is done about what is found.
#[derive(Clone, Copy, Debug)]
pub struct DriftSettings {
    /// Change nothing: what is found is counted as if it had been done.
    pub look_only: bool,
    /// Register objects that no row tells of.
    pub adopt: bool,
    /// Remove objects that no row tells of, if they are old enough.
    pub delete_orphans: bool,
    /// Stop where most of a page is missing, which is the sign of a wrong
    /// `store` or `database` rather than of so much loss.
    pub brake: bool,
    /// What was stored, or written, less long ago is left alone.
    pub grace: Duration,
    /// Orphans and unfinished uploads younger than this are never removed.
    pub orphan_age: Duration,
}

impl DriftSettings {
    /// Looks and mends; adopts and removes nothing. `lease` is the node's.
    pub const fn new(lease: Duration) -> Self {
        let grace = lease.saturating_mul(2);
        Self { look_only: false, adopt: false, delete_orphans: false, brake: true, grace, orphan_age: DAY }
    }

    /// Orphans younger than this are passed over, if anything is done about any.
    pub const fn orphan_grace(&self) -> Duration {
        if self.delete_orphans { self.orphan_age } else { self.grace }
    }
}

/// What was found, and what was done about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DriftReport {
    /// Stored rows that were compared.
    pub rows: u64,
    /// Rows that were passed over: stored less long ago than the grace.
    pub young: u64,
    /// Rows whose object was not there: filled again, if their source lives.
    pub missing: u64,
    /// Rows whose object was of another size: filled again likewise.
    pub wrong_size: u64,
    /// Objects that were looked at.
    pub objects: u64,
    /// Objects without a row.
    pub orphans: u64,
    /// Objects whose row says that they are lost.
    pub found_again: u64,
    /// Orphans and found ones that were registered.
    pub adopted: u64,
    /// Orphans that were removed.
    pub removed: u64,
    /// Orphans and found ones that were neither, for being too young.
    pub too_young: u64,
    /// Objects that are no clip's by their name; never touched.
    pub strangers: u64,
    /// Objects of deleted clips, and posters of clips that are stored no more,
    /// removed.
    pub leftovers: u64,
    /// Unfinished uploads that were aborted.
    pub uploads: u64,
    /// Leases that ran out; their clips are taken over as any that are due.
    pub leases: u64,
    /// Half-filled files on this node that belonged to no clip, removed.
    pub copies: u64,
    /// Objects and uploads that the store did not remove.
    pub failed: u64,
    /// Some orphans' and found ones' names.
    pub examples: Vec<String>,
    /// Whether it stopped because too much was missing to be true.
    pub stopped: bool,
}

/// Why a run ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum DriftError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store is not the one that the rows tell of.
    #[error(transparent)]
    NotOurs(#[from] NotOurs),
    #[error("looking through the partials folder")]
    Disk(#[from] std::io::Error),
}

type Result<T, E = DriftError> = std::result::Result<T, E>;

/// What a run works with.
pub struct Drift<'a> {
    pub catalog: &'a dyn Catalog,
    pub store: &'a Store,
    pub clock: &'a dyn Clock,
    /// Where this process keeps clips that are on their way.
    pub partials: PathBuf,
    /// Whether a clip's fill runs in this process.
    pub is_filling: &'a (dyn Fn(&ClipKey) -> bool + Send + Sync),
    /// What is done about what is found.
    pub settings: DriftSettings,
}

impl Drift<'_> {
    /// Looks through everything once.
    ///
    /// # Errors
    /// If the catalogue, the store or the disk does not answer. What was mended
    /// until then stays mended.
    pub async fn run(&self) -> Result<DriftReport> {
        let mut report = DriftReport::default();
        self.is_ours().await?;
        self.rows(&mut report).await?;
        if !report.stopped {
            self.objects(&mut report).await?;
        }
        self.uploads(&mut report).await?;
        self.inlines(&mut report).await?;
        self.posters(&mut report).await?;
        if !self.settings.look_only {
            self.copies(&mut report).await?;
        }
        report.leases = self.catalog.leases_run_out(self.clock.now()).await?;
        Ok(report)
    }

    /// Nothing is concluded from a store that is away, or another's; nor removed
    /// there. Asked again for each page: a run takes hours.
    async fn is_ours(&self) -> Result<(), NotOurs> {
        if self.settings.look_only {
            return custody::look(self.catalog, self.store).await;
        }
        custody::take(self.catalog, self.store).await
    }
}

/// Whether clipkeep could have given this name: of a generation, with an ending
/// of media that is kept. All else in a bucket is somebody else's.
fn is_ours(key: &ClipKey) -> bool {
    key.parts().is_some() && MediaType::by_ending(key.ending()).is_some()
}

/// Whether so many bad ones `of` all are too many to be true.
pub const fn is_too_much(bad: usize, of: usize) -> bool {
    bad >= ALWAYS_ALLOWED && bad > of / 2
}
