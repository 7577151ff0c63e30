//! A bounded map of the clips that were watched lately.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use clipkeep_core::{delivery::Representation, id::ClipKey, view::Piece};
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::{
    faststart::Fast,
    fill::{
        Through,
        local::{LocalCopy, Viewer},
    },
};

/// How long a node may go without hearing of a change made on another.
const MAX_AGE: Duration = Duration::from_secs(5);

/// What a viewer of one clip needs.
pub struct Shelved {
    /// What is served. Its length is of no meaning unless `sized`.
    pub representation: Representation,
    /// Whether the length is known.
    pub sized: bool,
    /// Whether no signature is asked for.
    pub public: bool,
    /// The order of the bytes, if not their own.
    pub fast: Option<Fast>,
    /// Where the bytes are.
    pub bytes: Where,
    /// When this was read from the catalogue.
    pub since: Instant,
}

/// Where a clip's bytes are.
pub enum Where {
    /// In a local file: all of them.
    Mapped(Bytes),
    /// In the bucket.
    Store,
    /// On their way.
    Coming(Coming),
    /// Still at the source alone, as far as this node knows.
    Source(Through),
}

/// A copy that is being filled, and which of its versions is meant.
pub struct Coming {
    copy: Weak<LocalCopy>,
    generation: u64,
}

impl Coming {
    /// The version that `viewer` sees.
    pub fn of(copy: &Arc<LocalCopy>, viewer: &Viewer) -> Self {
        Self { copy: Arc::downgrade(copy), generation: viewer.generation() }
    }

    /// The bytes of `range`, if all of them are here.
    pub fn at_hand(&self, range: &std::ops::Range<u64>) -> Option<Bytes> {
        self.copy.upgrade()?.at_hand(self.generation, range)
    }

    /// Whether all bytes are here.
    pub fn is_complete(&self) -> bool {
        self.copy.upgrade().is_some_and(|copy| copy.is_complete())
    }

    /// Someone who reads along, if there is still something to be read.
    pub fn viewer(&self) -> Option<Viewer> {
        self.copy.upgrade().and_then(|copy| copy.viewer_of(self.generation))
    }
}

/// Bytes in memory or a stretch of the clip's file.
pub enum Stretch {
    /// In memory.
    Bytes(Bytes),
    /// Of the file.
    File(std::ops::Range<u64>),
}

impl Shelved {
    /// Where the bytes `range` of what is served come from.
    pub fn stretches(&self, range: std::ops::Range<u64>) -> Vec<Stretch> {
        let Some(fast) = &self.fast else { return vec![Stretch::File(range)] };
        let stretch = |piece| match piece {
            Piece::File(range) => Stretch::File(range),
            // A `moov` is small enough for memory, so its ranges are, too.
            Piece::Movie(range) => Stretch::Bytes(fast.movie.bytes().slice(range.start as usize..range.end as usize)),
        };
        fast.at.pieces(&range, self.representation.len()).into_iter().map(stretch).collect()
    }

    fn is_fresh(&self) -> bool {
        let alive = match &self.bytes {
            Where::Coming(coming) => coming.viewer().is_some(),
            Where::Mapped(_) | Where::Store | Where::Source(_) => true,
        };
        alive && self.since.elapsed() < MAX_AGE
    }
}

/// The shelf.
pub struct Shelf(Cache<ClipKey, Arc<Shelved>>);

impl Shelf {
    /// An empty shelf for `clips` clips.
    pub fn new(clips: usize) -> Self {
        Self(Cache::new(clips))
    }

    /// The clip, if it is here and fresh.
    pub fn find(&self, key: &ClipKey) -> Option<Arc<Shelved>> {
        let found = self.0.get(key)?;
        if found.is_fresh() {
            return Some(found);
        }
        self.0.remove_if(key, |held| Arc::ptr_eq(held, &found));
        None
    }

    /// The clip, looked up by one of those who ask at once.
    pub async fn find_or<E>(
        &self,
        key: &ClipKey,
        look_up: impl Future<Output = Result<Arc<Shelved>, E>>,
    ) -> Result<Arc<Shelved>, E> {
        match self.find(key) {
            Some(found) => Ok(found),
            None => self.0.get_or_insert_async(key, look_up).await,
        }
    }

    /// Forgets a clip that turned out to be no longer what it was.
    pub fn forget(&self, key: &ClipKey) {
        self.0.remove(key);
    }
}
