//! Viewings: which answers belong to one viewer's watching of one clip, so that
//! all of them together are one play. In memory alone, bounded, and nothing in
//! it tells who the viewer is: a keyed hash with a key of this process.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use clipkeep_core::{id::ClipKey, time::Timestamp, usage::Marks};
use http::{HeaderMap, header};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::account::Account;

/// How long after its last answer a viewing goes on.
const VIEWING_GAP: Duration = Duration::from_secs(30 * 60);
/// After how long without another answer a cut means that the viewer went away:
/// a seek cuts an answer and asks again at once.
const RECONNECT_GRACE: Duration = Duration::from_secs(5);
/// How many viewings are known at once. Of more, some may count twice.
const MAX_VIEWINGS: usize = 65_536;

/// What tells one viewer from another.
pub struct Viewer<'a> {
    /// Where the connection comes from.
    pub from: IpAddr,
    /// The request's header fields: behind a proxy they tell viewers apart.
    pub headers: &'a HeaderMap,
    /// When the link ends, which apps may choose for each viewer.
    pub link: Option<Timestamp>,
}

#[derive(Default)]
struct State {
    marks: Marks,
    /// Answers that are on their way.
    running: u32,
    is_aborted: bool,
}

/// Viewings that were cut off, in the order in which they are to be judged.
type Cut = Mutex<VecDeque<(Instant, Arc<Viewing>)>>;

/// One viewer's watching of one clip.
pub(super) struct Viewing {
    pub(super) account: Arc<Account>,
    cut: Arc<Cut>,
    /// When something of it came last.
    seen: Seen,
    /// Once it is a play, nothing else of it is of interest.
    is_play: AtomicBool,
    state: Mutex<State>,
}

/// A moment that many threads look at and few change: whole seconds.
struct Seen {
    began: Instant,
    secs: AtomicU64,
}

impl Seen {
    fn at(&self, now: Instant) {
        let now = now.saturating_duration_since(self.began).as_secs();
        if self.secs.load(Relaxed) < now {
            self.secs.store(now, Relaxed);
        }
    }

    fn before(&self, now: Instant) -> Duration {
        let now = now.saturating_duration_since(self.began).as_secs();
        Duration::from_secs(now.saturating_sub(self.secs.load(Relaxed)))
    }
}

impl Viewing {
    /// Whether it is a play already.
    pub(super) fn is_play(&self) -> bool {
        self.is_play.load(Relaxed)
    }

    /// These marks were delivered, too.
    pub(super) fn mark(&self, marks: Marks) {
        let state = &mut *self.state.lock();
        state.marks = state.marks.and(marks);
        if state.marks.is_play() && !self.is_play.swap(true, Relaxed) {
            self.account.played();
        }
    }

    /// Something of it came.
    pub(super) fn touch(&self, now: Instant) {
        self.seen.at(now);
    }

    /// An answer that [`Viewings::join`] took in is over.
    pub(super) fn ended(self: &Arc<Self>, cut: bool) {
        self.touch(Instant::now());
        let is_aborted = {
            let state = &mut *self.state.lock();
            state.running = state.running.saturating_sub(1);
            state.is_aborted
        };
        if !cut || self.is_play() || is_aborted {
            return;
        }
        // It may have been its last one.
        let first = {
            let mut queue = self.cut.lock();
            queue.push_back((Instant::now() + RECONNECT_GRACE, Arc::clone(self)));
            if queue.len() > MAX_VIEWINGS { queue.pop_front() } else { None }
        };
        if let Some((_, viewing)) = first {
            viewing.judge();
        }
    }

    /// Nothing came after the cut: it was aborted, unless something did come.
    fn judge(&self) {
        let state = &mut *self.state.lock();
        if state.running == 0 && !self.is_play() && !state.is_aborted {
            state.is_aborted = true;
            self.account.aborted();
        }
    }
}

/// The viewings of this node.
pub(super) struct Viewings {
    known: Cache<u64, Arc<Viewing>>,
    hash: RandomState,
    cut: Arc<Cut>,
}

impl Viewings {
    pub(super) fn new() -> Self {
        Self { known: Cache::new(MAX_VIEWINGS), hash: RandomState::new(), cut: Arc::default() }
    }

    /// The viewing that an answer to `viewer`, who asked at `now`, belongs to. Unless it is a play,
    /// the answer runs from here on, until it has ended.
    pub(super) fn join(&self, account: &Arc<Account>, viewer: &Viewer<'_>, now: Instant) -> Arc<Viewing> {
        let who = self.who(&account.key, viewer);
        if let Some(viewing) = self.known.get(&who) {
            if viewing.is_play() && viewing.seen.before(now) < VIEWING_GAP {
                viewing.touch(now);
                return viewing;
            }
            let mut state = viewing.state.lock();
            if !viewing.is_play() && (state.running > 0 || viewing.seen.before(now) < VIEWING_GAP) {
                state.running += 1;
                viewing.touch(now);
                drop(state);
                return viewing;
            }
        }
        let viewing = Arc::new(Viewing {
            account: Arc::clone(account),
            cut: Arc::clone(&self.cut),
            seen: Seen { began: now, secs: AtomicU64::new(0) },
            is_play: AtomicBool::new(false),
            state: Mutex::new(State { running: 1, ..State::default() }),
        });
        self.known.insert(who, Arc::clone(&viewing));
        viewing
    }

    /// For bytes that are none of the clip itself: nothing more of it is counted.
    pub(super) fn beside(&self, account: &Arc<Account>, now: Instant) -> Arc<Viewing> {
        Arc::new(Viewing {
            account: Arc::clone(account),
            cut: Arc::clone(&self.cut),
            seen: Seen { began: now, secs: AtomicU64::new(0) },
            is_play: AtomicBool::new(true),
            state: Mutex::default(),
        })
    }

    fn who(&self, key: &ClipKey, viewer: &Viewer<'_>) -> u64 {
        let field = |name| viewer.headers.get(name).map(http::HeaderValue::as_bytes);
        let fields = [field(header::USER_AGENT), field(header::HeaderName::from_static("x-forwarded-for"))];
        self.hash.hash_one((key.as_str(), viewer.from, viewer.link, fields))
    }

    /// Judges the viewings that were cut long enough ago; or all, at the end.
    pub(super) fn judge(&self, at_the_end: bool) {
        let now = Instant::now();
        let due = {
            let mut queue = self.cut.lock();
            let count = if at_the_end { queue.len() } else { queue.partition_point(|(due, _)| *due <= now) };
            queue.drain(..count).collect::<Vec<_>>()
        };
        due.iter().for_each(|(_, viewing)| viewing.judge());
    }
}
