//! Copies of the bucket's objects on this node's disk: made while they are
//! watched, bounded by `cache_size`, expendable.
//!
//! The policy (S3-FIFO's kin: what is watched once goes first) is
//! `quick_cache`'s; an evicted copy's file goes with its last viewer.

use std::{io, path::PathBuf, sync::Arc};

use clipkeep_core::{generation::Clip, id::ClipKey, state::ClipState, version::SourceVersion};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter, sync::Cache, sync::DefaultLifecycle};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::read_through::read_through;
use crate::{
    catalog::Catalog,
    fill::local::{self, LocalCopy, Opened},
    store::Store,
};

/// How many clips the policy reckons with. More of them cost it some memory.
const CLIPS: usize = 10_000;
/// How many requests to the bucket run at once for all copies.
const REQUESTS: usize = 64;

struct Held {
    copy: Arc<LocalCopy>,
    size: u64,
}

#[derive(Clone)]
struct BySize;

impl Weighter<ClipKey, Arc<Held>> for BySize {
    fn weight(&self, _: &ClipKey, held: &Arc<Held>) -> u64 {
        held.size.max(1)
    }
}

/// What is to be copied.
#[derive(Clone, Debug)]
pub struct Object {
    /// The clip.
    pub key: ClipKey,
    /// Under which clip's key its bytes are in the bucket.
    pub object: ClipKey,
    /// Its content epoch.
    pub epoch: i64,
    /// Its length in bytes.
    pub size: u64,
}

impl Object {
    fn stored(clip: Clip) -> Option<Self> {
        let sealed = clip.sealed.filter(|_| clip.state == ClipState::Stored)?;
        let object = clip.object_key.unwrap_or_else(|| clip.key.clone());
        Some(Self { key: clip.key, object, epoch: clip.epoch, size: sealed.size })
    }
}

/// The cache.
pub struct DiskCache {
    dir: PathBuf,
    limit: u64,
    held: Arc<Cache<ClipKey, Arc<Held>, BySize>>,
    store: Arc<Store>,
    requests: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl DiskCache {
    /// An empty cache of at most `limit` bytes in `dir`.
    pub fn new(dir: PathBuf, limit: u64, store: Arc<Store>, tasks: TaskTracker) -> Self {
        // One shard: the limit holds for all clips together.
        let options = OptionsBuilder::new().shards(1).estimated_items_capacity(CLIPS).weight_capacity(limit).build();
        let held = match options {
            Ok(options) => {
                Cache::with_options(options, BySize, DefaultHashBuilder::default(), DefaultLifecycle::default())
            }
            Err(_) => Cache::with_weighter(CLIPS, limit, BySize),
        };
        let requests = Arc::new(Semaphore::new(REQUESTS));
        Self { dir, limit, held: Arc::new(held), store, requests, tasks, stop: CancellationToken::new() }
    }

    /// Takes over what an earlier run left, as far as it is a copy of what is
    /// stored now; all else is removed.
    pub async fn take_over(&self, catalog: &dyn Catalog) -> io::Result<()> {
        for (key, path, epoch) in local::kept_clips(self.dir.clone()).await? {
            // Should the catalogue not answer, the copy goes: it is expendable.
            let clip = if self.store.is_folder() { None } else { catalog.clip(&key).await.ok().flatten() };
            let object = clip.and_then(Object::stored).filter(|object| object.epoch == epoch);
            let copy = match object {
                Some(_) => LocalCopy::resume(path.clone(), epoch).await,
                None => None,
            };
            match (object, copy) {
                (Some(object), Some(copy)) if copy.opened().is_some_and(|o| o.total == Some(object.size)) => {
                    self.hold(&object, copy);
                }
                _ => local::remove(&path)?,
            }
        }
        Ok(())
    }

    /// The copy of an object, if it is here or may come here. One that comes is
    /// shown at once.
    pub async fn copy(&self, object: &Object) -> Option<Arc<LocalCopy>> {
        if let Some(held) = self.held.get(&object.key) {
            if held.copy.opened().is_some_and(|opened| opened.epoch == object.epoch) && held.copy.is_readable() {
                return Some(Arc::clone(&held.copy));
            }
            self.held.remove(&object.key);
        }
        // Nothing that would push out everything else.
        if object.size > self.limit / 2 || object.size == 0 {
            return None;
        }
        match self.begin(object).await {
            Ok(copy) => {
                self.hold(object, Arc::clone(&copy));
                Some(copy)
            }
            Err(error) => {
                tracing::warn!(clip = %object.key, %error, "cannot be cached on this disk");
                None
            }
        }
    }

    async fn begin(&self, object: &Object) -> io::Result<Arc<LocalCopy>> {
        let path = self.dir.join(object.key.as_str());
        if let Some(copy) = LocalCopy::resume(path.clone(), object.epoch).await {
            return Ok(copy);
        }
        let copy = LocalCopy::create(path).await?;
        let version = SourceVersion { etag: None, last_modified: None, len: Some(object.size) };
        copy.open(Opened { epoch: object.epoch, version, total: Some(object.size), ranges: true }).await?;
        Ok(copy)
    }

    /// Keeps a copy, and brings what it lacks.
    fn hold(&self, object: &Object, copy: Arc<LocalCopy>) {
        self.held.insert(object.key.clone(), Arc::new(Held { copy: Arc::clone(&copy), size: object.size }));
        let (store, requests) = (Arc::clone(&self.store), Arc::clone(&self.requests));
        let (key, size, held) = (object.key.clone(), object.size, Arc::downgrade(&self.held));
        let of = object.object.clone();
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let brought = tokio::select! {
                brought = read_through(&store, &requests, &of, size, &copy) => brought,
                () = stop.cancelled() => Ok(()),
            };
            if let Err(error) = brought {
                tracing::warn!(clip = %key, error = &error as &dyn std::error::Error, "a clip was not cached");
                copy.close();
                if let Some(held) = held.upgrade() {
                    held.remove(&key);
                }
            }
        });
    }

    /// Drops the copy of a clip that was deleted. Its file goes with its last
    /// viewer.
    pub fn forget(&self, key: &ClipKey) {
        if let Some((_, held)) = self.held.remove(key)
            && !held.copy.is_complete()
        {
            // What is still to come may be another object's: its viewers end short.
            held.copy.close();
        }
    }

    /// Stops copying, and leaves what is here on the disk for the next run.
    pub async fn close(&self) {
        self.stop.cancel();
        for (key, held) in self.held.iter() {
            match held.copy.persist().await {
                Ok(()) => held.copy.keep(),
                Err(error) => tracing::warn!(clip = %key, %error, "a cached copy is not kept"),
            }
        }
    }
}
