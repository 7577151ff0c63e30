//! What is counted of a clip between two looks: a few atomic numbers, shared by
//! all who deliver it, with no lock and no map on the way.

use std::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicU64, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
};

use clipkeep_core::{
    id::{ClipKey, Tenant},
    usage::Counts,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// From how many accounts on they are not left to gather until the next look.
const FLUSH_THRESHOLD: usize = 8192;
/// Among how many places the threads are spread.
const SHARDS: usize = 4;

/// The accounts in which something was counted since the last look.
#[derive(Default)]
pub(super) struct Touched {
    accounts: Mutex<Vec<Arc<Account>>>,
    /// Rung when there are many.
    pub(super) many: Notify,
}

impl Touched {
    fn add(&self, account: Arc<Account>) {
        let mut accounts = self.accounts.lock();
        accounts.push(account);
        if accounts.len() == FLUSH_THRESHOLD {
            self.many.notify_one();
        }
    }

    pub(super) fn take(&self) -> Vec<Arc<Account>> {
        std::mem::take(&mut *self.accounts.lock())
    }
}

/// One clip's numbers. A clip may have several accounts; they add up.
pub struct Account {
    pub(super) key: ClipKey,
    pub(super) tenant: Option<Tenant>,
    touched: Arc<Touched>,
    /// Whether it is among the touched. Each count is written before this is
    /// read, and each look clears this before it reads the counts, both in one
    /// order that all threads see: nothing is left behind.
    listed: AtomicBool,
    shards: [Shard; SHARDS],
}

/// Numbers that few threads write, so that they seldom wait for one another.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    plays: AtomicU64,
    viewer_bytes: AtomicU64,
    hits: AtomicU64,
    cold_fetches: AtomicU64,
    source_bytes: AtomicU64,
    aborted_plays: AtomicU64,
    first_byte_micros: AtomicU64,
    first_bytes: AtomicU64,
}

impl Shard {
    fn take(&self) -> Counts {
        let take = |counter: &AtomicU64| counter.swap(0, SeqCst);
        Counts {
            plays: take(&self.plays),
            viewer_bytes: take(&self.viewer_bytes),
            hits: take(&self.hits),
            cold_fetches: take(&self.cold_fetches),
            source_bytes: take(&self.source_bytes),
            aborted_plays: take(&self.aborted_plays),
            first_byte_micros: take(&self.first_byte_micros),
            first_bytes: take(&self.first_bytes),
        }
    }
}

/// This thread's place among the shards.
fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: usize = NEXT.fetch_add(1, Relaxed) % SHARDS;
    }
    PLACE.with(|place| *place)
}

impl Account {
    pub(super) fn new(key: ClipKey, tenant: Option<Tenant>, touched: Arc<Touched>) -> Arc<Self> {
        Arc::new(Self { key, tenant, touched, listed: AtomicBool::new(false), shards: Default::default() })
    }

    /// One that nobody looks at.
    #[cfg(test)]
    pub(crate) fn of_test(key: ClipKey) -> Arc<Self> {
        Self::new(key, None, Arc::default())
    }

    fn add(self: &Arc<Self>, by: u64, counter: fn(&Shard) -> &AtomicU64) {
        counter(&self.shards[place()]).fetch_add(by, SeqCst);
        if !self.listed.load(SeqCst) && !self.listed.swap(true, SeqCst) {
            self.touched.add(Arc::clone(self));
        }
    }

    /// Bytes came from the source.
    pub fn source_read(self: &Arc<Self>, bytes: u64) {
        self.add(bytes, |shard| &shard.source_bytes);
    }

    pub(super) fn answered(self: &Arc<Self>, hit: bool) {
        self.add(1, if hit { |shard| &shard.hits } else { |shard| &shard.cold_fetches });
    }

    pub(super) fn sent(self: &Arc<Self>, bytes: u64) {
        self.add(bytes, |shard| &shard.viewer_bytes);
    }

    pub(super) fn first_byte(self: &Arc<Self>, micros: u64) {
        self.add(micros, |shard| &shard.first_byte_micros);
        self.add(1, |shard| &shard.first_bytes);
    }

    pub(super) fn played(self: &Arc<Self>) {
        self.add(1, |shard| &shard.plays);
    }

    pub(super) fn aborted(self: &Arc<Self>) {
        self.add(1, |shard| &shard.aborted_plays);
    }

    /// What was counted since this was asked last.
    pub(super) fn take(&self) -> Counts {
        self.listed.store(false, SeqCst);
        let mut sum = Counts::default();
        self.shards.iter().for_each(|shard| sum += shard.take());
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_counted_while_one_looks_is_lost() {
        let touched = Arc::new(Touched::default());
        let account = Account::new("a.mp4".parse().unwrap(), None, Arc::clone(&touched));
        let counters: Vec<_> = (0..3)
            .map(|_| {
                let account = Arc::clone(&account);
                std::thread::spawn(move || (0..50_000).for_each(|_| account.sent(1)))
            })
            .collect();
        let mut sum = Counts::default();
        while !counters.iter().all(std::thread::JoinHandle::is_finished) {
            touched.take().iter().for_each(|one| sum += one.take());
        }
        counters.into_iter().for_each(|thread| thread.join().unwrap());
        touched.take().iter().for_each(|one| sum += one.take());
        assert_eq!(sum.viewer_bytes, 150_000);
    }
}
