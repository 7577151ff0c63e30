//! Copies of the bucket's objects on this node's disk: made while they are
//! watched, bounded by `cache_size`, expendable.
//!
//! The policy (S3-FIFO's kin: what is watched once goes first) is
//! `quick_cache`'s; an evicted copy's file goes with its last viewer.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clipkeep_core::{generation::Clip, id::ClipKey, state::ClipState, time::Clock, version::SourceVersion};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter, sync::Cache, sync::DefaultLifecycle};
use tokio::{sync::Semaphore, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::read_through::read_through;
use crate::{
    catalog::{Catalog, NOTICE_DELAY},
    custody::Custody,
    descriptors,
    fill::local::{self, LocalCopy, Opened},
    store::Store,
};

/// How many clips the policy reckons with. More of them cost it some memory.
const MAX_CLIPS: usize = 10_000;
/// How many requests to the bucket run at once for all copies.
const MAX_REQUESTS: usize = 64;
/// The pause after each stretch (of up to 4 MiB) that is read again, so that the
/// look at a full disk is one of its smallest loads.
const SCRUB_STEP: Duration = Duration::from_millis(500);
/// The pause after all of them.
const SCRUB_PAUSE: Duration = Duration::from_secs(600);

struct CachedCopy {
    copy: Arc<LocalCopy>,
    size: u64,
    /// Whether what it lacks is being brought, or was. What an earlier run left
    /// waits until somebody asks for it.
    begun: AtomicBool,
}

#[derive(Clone)]
struct BySize {
    /// What a copy weighs at least: each holds files open, which are bounded, too.
    least: u64,
}

impl Weighter<ClipKey, Arc<CachedCopy>> for BySize {
    fn weight(&self, _: &ClipKey, held: &Arc<CachedCopy>) -> u64 {
        held.size.max(self.least)
    }
}

/// What is to be copied.
#[derive(Clone, Debug)]
pub struct Object {
    pub key: ClipKey,
    /// Under which clip's key its bytes are in the bucket.
    pub object: ClipKey,
    pub epoch: i64,
    /// Its length in bytes.
    pub size: u64,
    /// The store's tag of it, where the row has it.
    pub tag: Option<String>,
}

impl Object {
    /// A clip's, if it is stored.
    pub fn of(clip: &Clip) -> Option<Self> {
        let sealed = clip.sealed.as_ref().filter(|_| clip.state == ClipState::Stored)?;
        // Its provider may write it again; all others are ours alone to write.
        let tag = clip.version.as_ref().filter(|_| clip.source_url.is_own_store());
        let tag = tag.and_then(|version| version.etag.clone());
        Some(Self { key: clip.key.clone(), object: clip.object().clone(), epoch: clip.epoch, size: sealed.size, tag })
    }

    fn version(&self) -> SourceVersion {
        SourceVersion { etag: self.tag.clone(), last_modified: None, len: Some(self.size) }
    }
}

/// The cache.
pub struct DiskCache {
    dir: PathBuf,
    limit: u64,
    held: Arc<Cache<ClipKey, Arc<CachedCopy>, BySize>>,
    store: Arc<Store>,
    news: Arc<ChangeNotice>,
    requests: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Whom to tell of objects that are no longer what they were.
struct ChangeNotice {
    catalog: Arc<dyn Catalog>,
    custody: Arc<Custody>,
    clock: Arc<dyn Clock>,
}

impl ChangeNotice {
    /// Somebody wrote the object anew: no more of it goes out under the old ETag.
    /// What the provider itself wrote is read again, all else is fetched again.
    async fn changed(&self, object: &Object) {
        const WHY: &str = "its object was written anew in the store";
        // Another's store holds other objects: nothing happened to ours.
        if self.custody.ours().await.is_err() {
            return;
        }
        let now = self.clock.now();
        match self.catalog.object_lost(&object.key, object.epoch, now, now.plus(NOTICE_DELAY), WHY).await {
            Ok(true) => tracing::error!(clip = %object.key, "stored no more: {WHY}"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(clip = %object.key, error = &error as &dyn std::error::Error, "cannot tell that {WHY}");
            }
        }
    }
}

impl DiskCache {
    /// An empty cache of at most `limit` bytes in `dir`.
    pub fn new(
        dir: PathBuf,
        limit: u64,
        store: Arc<Store>,
        (catalog, custody, clock): (Arc<dyn Catalog>, Arc<Custody>, Arc<dyn Clock>),
        tasks: TaskTracker,
    ) -> Self {
        let by_size = BySize { least: (limit / descriptors::share(16) as u64).max(1) };
        // One shard: the limit holds for all clips together.
        let options =
            OptionsBuilder::new().shards(1).estimated_items_capacity(MAX_CLIPS).weight_capacity(limit).build();
        let held = match options {
            Ok(options) => {
                Cache::with_options(options, by_size, DefaultHashBuilder::default(), DefaultLifecycle::default())
            }
            Err(_) => Cache::with_weighter(MAX_CLIPS, limit, by_size),
        };
        let requests = Arc::new(Semaphore::new(MAX_REQUESTS));
        let news = Arc::new(ChangeNotice { catalog, custody, clock });
        Self { dir, limit, held: Arc::new(held), store, news, requests, tasks, stop: CancellationToken::new() }
    }

    /// Takes over what an earlier run left, as far as it is a copy of what is
    /// stored now; all else is removed.
    pub async fn take_over(&self) -> io::Result<()> {
        for (key, path, epoch) in local::kept_clips(self.dir.clone()).await? {
            // Should the catalogue not answer, the copy goes: it is expendable.
            let clip = if self.store.is_folder() { None } else { self.news.catalog.clip(&key).await.ok().flatten() };
            let object = clip.as_ref().and_then(Object::of).filter(|object| object.epoch == epoch);
            let copy = match object {
                Some(_) => LocalCopy::left(path.clone(), epoch).await,
                None => None,
            };
            match (object, copy) {
                (Some(object), Some(copy)) if copy.opened().is_some_and(|o| o.version == object.version()) => {
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
                self.fetch(object, &held);
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
                let held = self.hold(object, copy);
                self.fetch(object, &held);
                Some(Arc::clone(&held.copy))
            }
            Err(error) => {
                tracing::warn!(clip = %object.key, %error, "cannot be cached on this disk");
                None
            }
        }
    }

    async fn begin(&self, object: &Object) -> io::Result<Arc<LocalCopy>> {
        let path = self.dir.join(object.key.as_str());
        let left = LocalCopy::left(path.clone(), object.epoch).await;
        if let Some(copy) = left.filter(|copy| copy.opened().is_some_and(|o| o.version == object.version())) {
            return Ok(copy);
        }
        let copy = LocalCopy::create(path).await?;
        let version = object.version();
        copy.open(Opened { epoch: object.epoch, version, total: Some(object.size), ranges: true }).await?;
        Ok(copy)
    }

    fn hold(&self, object: &Object, copy: Arc<LocalCopy>) -> Arc<CachedCopy> {
        let held = Arc::new(CachedCopy { copy, size: object.size, begun: AtomicBool::new(false) });
        self.held.insert(object.key.clone(), Arc::clone(&held));
        held
    }

    /// Brings what a copy lacks, unless that was begun.
    fn fetch(&self, object: &Object, held: &CachedCopy) {
        if held.begun.swap(true, Ordering::AcqRel) {
            return;
        }
        let copy = Arc::clone(&held.copy);
        let (store, requests) = (Arc::clone(&self.store), Arc::clone(&self.requests));
        let (object, held, news) = (object.clone(), Arc::downgrade(&self.held), Arc::clone(&self.news));
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let brought = tokio::select! {
                brought = read_through(&store, &requests, &object, &copy) => brought,
                () = stop.cancelled() => Ok(()),
            };
            if let Err(error) = brought {
                tracing::warn!(clip = %object.key, error = &error as &dyn std::error::Error, "a clip was not cached");
                if error.is_change() {
                    news.changed(&object).await;
                }
                copy.close();
                if let Some(held) = held.upgrade() {
                    held.remove(&object.key);
                }
            }
        });
    }

    /// Takes in that an object was found to be another one than its clip's.
    pub async fn invalidate_changed(&self, object: &Object) {
        self.news.changed(object).await;
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

    /// Reads what is here again and again, slowly, until `stop`: what this disk
    /// damaged is not served, but comes from the bucket once more.
    pub async fn scrub(&self, stop: &CancellationToken) {
        loop {
            let held: Vec<_> = self.held.iter().map(|(key, held)| (key, Arc::downgrade(&held.copy))).collect();
            for (key, copy) in held {
                tokio::select! {
                    () = self.scrub_one(&key, &copy) => {}
                    () = stop.cancelled() => return,
                }
            }
            tokio::select! {
                () = sleep(SCRUB_PAUSE) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn scrub_one(&self, key: &ClipKey, copy: &Weak<LocalCopy>) {
        let mut at = 0;
        // What is dropped meanwhile must not stay for this.
        while let Some(copy) = copy.upgrade() {
            match copy.look_again(at).await {
                Ok(Some(end)) => at = end,
                Ok(None) => return,
                Err(range) => {
                    tracing::error!(clip = %key, ?range, "this disk damaged a cached copy: it comes from the bucket again");
                    copy.spoil();
                    self.held.remove(key);
                    return;
                }
            }
            drop(copy);
            sleep(SCRUB_STEP).await;
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
