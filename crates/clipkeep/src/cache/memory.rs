//! A bounded map of the clips that were watched lately. A clip stays in it
//! until it is told to change.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use clipkeep_core::{delivery::Representation, id::ClipKey, view::Piece};
use parking_lot::Mutex;
use quick_cache::{OptionsBuilder, Weighter, sync::Cache, sync::DefaultLifecycle};
use tokio::time::Instant;

use super::Object;
use crate::{
    faststart::Fast,
    fill::{
        Passthrough,
        local::{LocalCopy, Viewer},
    },
    store::Pin,
    usage::Account,
};

/// How long a clip is read from its source before the node looks whether it can
/// be had any better.
const SOURCE_RECHECK_AFTER: Duration = Duration::from_secs(5);
/// How long a look-up may take: news are kept that long for those under way.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(60);
/// What a clip weighs at least beside its `moov`.
const MIN_WEIGHT: u64 = 16 * 1024;

/// What a viewer of one clip needs.
pub struct ServableClip {
    pub representation: Representation,
    /// The same bytes in their own order, where `fast` serves them in another:
    /// what is downloaded.
    pub stored: Option<Representation>,
    /// Whether no signature is asked for.
    pub public: bool,
    /// Links of a lower generation are refused.
    pub link_generation: u32,
    /// The order of the bytes, if not their own.
    pub fast: Option<Fast>,
    /// Where the bytes are.
    pub bytes: ByteSource,
    /// Where its deliveries are counted.
    pub account: Arc<Account>,
    /// Whether caches may keep it for as long as its links hold.
    pub lasts: bool,
    /// When the catalogue was asked.
    pub since: Instant,
}

/// Where a clip's bytes are.
#[derive(Clone)]
pub enum ByteSource {
    /// In a local file: all of them.
    Mapped(Bytes),
    /// In memory: all of them.
    Memory(Bytes),
    /// In the bucket: this very object.
    Store(Arc<(Object, Pin)>),
    Filling(FillingCopy),
    /// Still at the source alone, as far as this node knows.
    Source(Passthrough),
}

/// A copy that is being filled, and which of its versions is meant.
#[derive(Clone)]
pub struct FillingCopy {
    copy: Weak<LocalCopy>,
    generation: u64,
}

impl FillingCopy {
    /// The version that `viewer` sees.
    pub fn of(copy: &Arc<LocalCopy>, viewer: &Viewer) -> Self {
        Self { copy: Arc::downgrade(copy), generation: viewer.generation() }
    }

    /// The bytes of `range`, if all of them are here.
    pub fn resident_bytes(&self, range: &std::ops::Range<u64>) -> Option<Bytes> {
        self.copy.upgrade()?.resident_bytes(self.generation, range)
    }

    /// Whether all bytes are on this node's disk.
    pub fn is_here(&self) -> bool {
        self.copy.upgrade().is_some_and(|copy| copy.is_here())
    }

    /// Someone who reads along, if there is still something to be read.
    pub fn viewer(&self) -> Option<Viewer> {
        self.copy.upgrade().and_then(|copy| copy.viewer_of(self.generation))
    }
}

/// Bytes in memory or a stretch of the clip's file.
pub enum Segment {
    Bytes(Bytes),
    File(std::ops::Range<u64>),
}

impl ServableClip {
    /// The same clip with its bytes in the order in which they are stored;
    /// `None` where that is how they are served anyway.
    pub fn in_stored_order(&self) -> Option<Self> {
        let representation = self.stored.clone()?;
        let (bytes, account) = (self.bytes.clone(), Arc::clone(&self.account));
        let Self { public, link_generation, lasts, since, .. } = *self;
        Some(Self { representation, stored: None, public, link_generation, account, fast: None, bytes, lasts, since })
    }

    /// Where the bytes `range` of what is served come from.
    pub fn segments(&self, range: std::ops::Range<u64>) -> Vec<Segment> {
        let Some(fast) = &self.fast else { return vec![Segment::File(range)] };
        let segment = |piece| match piece {
            Piece::File(range) => Segment::File(range),
            // A `moov` is small enough for memory, so its ranges are, too.
            Piece::Movie(range) => Segment::Bytes(fast.movie.bytes().slice(range.start as usize..range.end as usize)),
        };
        fast.at.pieces(&range, self.representation.len()).into_iter().map(segment).collect()
    }

    fn is_fresh(&self) -> bool {
        match &self.bytes {
            // One whose length was not known may be whole by now.
            ByteSource::Filling(coming) => {
                (self.representation.is_sized() || !coming.is_here()) && coming.viewer().is_some()
            }
            ByteSource::Source(_) => self.since.elapsed() < SOURCE_RECHECK_AFTER,
            ByteSource::Mapped(_) | ByteSource::Memory(_) | ByteSource::Store(_) => true,
        }
    }
}

#[derive(Clone)]
struct ByMemory {
    /// What a clip weighs beside its `moov`: bounds how many are mapped at once,
    /// each of which holds a file open.
    each: u64,
}

impl Weighter<ClipKey, Arc<ServableClip>> for ByMemory {
    fn weight(&self, _: &ClipKey, clip: &Arc<ServableClip>) -> u64 {
        let movie = clip.fast.as_ref().map_or(0, |fast| fast.movie.bytes().len() as u64);
        let bytes = if let ByteSource::Memory(bytes) = &clip.bytes { bytes.len() as u64 } else { 0 };
        self.each + movie + bytes
    }
}

/// The shelf.
pub struct MemoryCache {
    clips: Cache<ClipKey, Arc<ServableClip>, ByMemory>,
    /// What was told lately, and when that was heard.
    news: Mutex<HashMap<ClipKey, Instant>>,
}

impl MemoryCache {
    /// An empty shelf for clips that take `memory` bytes in all, `most` at once.
    pub fn new(memory: u64, most: usize) -> Self {
        let each = MIN_WEIGHT.max(memory / (most as u64).max(1));
        let clips = usize::try_from(memory / each).unwrap_or(usize::MAX).max(1);
        // One shard where there are few: the bound holds for all together.
        let shards = if clips < 1024 { 1 } else { 16 };
        // A clip alone takes all there is, which must not be more than may be hot.
        let hot = if clips == 1 { 1.0 } else { 0.97 };
        let options = OptionsBuilder::new()
            .shards(shards)
            .hot_allocation(hot)
            .estimated_items_capacity(clips)
            .weight_capacity(memory)
            .build();
        let clips = match options {
            Ok(options) => {
                Cache::with_options(options, ByMemory { each }, Default::default(), DefaultLifecycle::default())
            }
            Err(_) => Cache::with_weighter(clips, memory, ByMemory { each }),
        };
        Self { clips, news: Mutex::default() }
    }

    /// Forgets everything: the files that it holds open close with their last
    /// viewers.
    pub fn clear(&self) {
        self.clips.clear();
    }

    /// The clip, if it is here and fresh.
    pub fn find(&self, key: &ClipKey) -> Option<Arc<ServableClip>> {
        let found = self.clips.get(key)?;
        if found.is_fresh() {
            return Some(found);
        }
        self.clips.remove_if(key, |held| Arc::ptr_eq(held, &found));
        None
    }

    /// The clip, looked up by one of those who ask at once.
    pub async fn find_or<E>(
        &self,
        key: &ClipKey,
        look_up: impl Future<Output = Result<Arc<ServableClip>, E>>,
    ) -> Result<Arc<ServableClip>, E> {
        if let Some(found) = self.find(key) {
            return Ok(found);
        }
        let found = self.clips.get_or_insert_async(key, look_up).await?;
        // News that came in between: good for this answer, not for later ones.
        if self.news.lock().get(key).is_some_and(|heard| *heard >= found.since) {
            self.clips.remove_if(key, |held| Arc::ptr_eq(held, &found));
        }
        Ok(found)
    }

    /// Forgets a clip that turned out to be no longer what it was.
    pub fn forget(&self, key: &ClipKey) {
        self.clips.remove(key);
    }

    /// Takes in that these clips have changed.
    pub fn invalidate<'a>(&self, changed: impl IntoIterator<Item = &'a ClipKey>) {
        let now = Instant::now();
        let mut news = self.news.lock();
        news.retain(|_, heard| now - *heard < LOOKUP_TIMEOUT);
        for key in changed {
            news.insert(key.clone(), now);
            self.clips.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use clipkeep_core::{delivery::header::ETag, time::Timestamp};

    use super::*;

    fn key(n: u64) -> ClipKey {
        format!("{n}.mp4").parse().unwrap()
    }

    fn clip(since: Instant) -> Arc<ServableClip> {
        let representation =
            Representation::new(9, ETag::of_view(&key(0), 1, false), Timestamp::from_secs(1), "video/mp4");
        Arc::new(ServableClip {
            representation,
            stored: None,
            public: false,
            link_generation: 0,
            fast: None,
            bytes: ByteSource::Store(Arc::new((object(), Pin::default()))),
            account: Account::of_test(key(0)),
            lasts: true,
            since,
        })
    }

    fn object() -> Object {
        Object { key: key(0), object: key(0), epoch: 1, size: 9, tag: None }
    }

    async fn put(memory_cache: &MemoryCache, key: &ClipKey, clip: Arc<ServableClip>) {
        memory_cache.find_or(key, async { Ok::<_, ()>(clip) }).await.unwrap();
    }

    #[tokio::test]
    async fn i06_a_clip_stays_until_it_changes() {
        let memory_cache = MemoryCache::new(1 << 20, 1000);
        let long_ago = Instant::now().checked_sub(10 * SOURCE_RECHECK_AFTER).unwrap();
        put(&memory_cache, &key(1), clip(long_ago)).await;
        assert!(memory_cache.find(&key(1)).is_some());
        memory_cache.invalidate([&key(2)]);
        assert!(memory_cache.find(&key(1)).is_some());
        memory_cache.invalidate([&key(1)]);
        assert!(memory_cache.find(&key(1)).is_none());
    }

    #[tokio::test]
    async fn i06_what_was_looked_up_before_it_changed_does_not_stay() {
        let memory_cache = MemoryCache::new(1 << 20, 1000);
        let before = clip(Instant::now());
        let look_up = async {
            memory_cache.invalidate([&key(1)]);
            Ok::<_, ()>(before)
        };
        memory_cache.find_or(&key(1), look_up).await.unwrap();
        assert!(memory_cache.find(&key(1)).is_none());
        tokio::time::sleep(Duration::from_millis(1)).await;
        put(&memory_cache, &key(1), clip(Instant::now())).await;
        assert!(memory_cache.find(&key(1)).is_some());
    }

    #[tokio::test]
    async fn i07_the_memory_cache_is_bounded() {
        for (memory, most, bound) in [(64 * MIN_WEIGHT, 1000, 64), (1 << 30, 32, 32), (1 << 30, 1, 1)] {
            let memory_cache = MemoryCache::new(memory, most);
            for n in 0..1000 {
                put(&memory_cache, &key(n), clip(Instant::now())).await;
            }
            let kept = (0..1000).filter(|n| memory_cache.find(&key(*n)).is_some()).count();
            assert!((1..=bound).contains(&kept), "{kept} of at most {bound}");
        }
    }
}
