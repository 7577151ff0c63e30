//! A bounded map of the stored clips that were watched lately.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use clipkeep_core::{delivery::Representation, id::ClipKey};
use quick_cache::sync::Cache;
use tokio::time::Instant;

/// How long a node may go without hearing of a change made on another.
const MAX_AGE: Duration = Duration::from_secs(5);

/// What a viewer of one stored clip needs.
pub struct Shelved {
    /// What is served.
    pub representation: Representation,
    /// Whether no signature is asked for.
    pub public: bool,
    /// The whole object, where it is a local file; else it is read from the bucket.
    pub local: Option<Bytes>,
    /// When this was read from the catalogue.
    pub since: Instant,
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
        self.0.get(key).filter(|shelved| shelved.since.elapsed() < MAX_AGE)
    }

    /// Puts a clip on the shelf.
    pub fn put(&self, key: ClipKey, shelved: Arc<Shelved>) {
        self.0.insert(key, shelved);
    }
}
