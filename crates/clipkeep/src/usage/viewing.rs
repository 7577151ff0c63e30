//! Viewings: which answers belong to one viewer's watching of one clip, so that
//! all of them together are one play. In memory alone, bounded, and nothing in
//! it tells who the viewer is: a keyed hash with a key of this process.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use clipkeep_core::{id::ClipKey, time::Timestamp, usage::Marks};
use http::{HeaderMap, header};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::account::Account;

/// How long after its last answer a viewing goes on.
const PAUSE: Duration = Duration::from_secs(30 * 60);
/// After how long without another answer a cut means that the viewer went away:
/// a seek cuts an answer and asks again at once.
const AWAY: Duration = Duration::from_secs(5);
/// How many viewings are known at once. Of more, some may count twice.
const VIEWINGS: usize = 65_536;

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
    is_play: bool,
    is_aborted: bool,
}

/// One viewer's watching of one clip.
pub(super) struct Viewing {
    account: Arc<Account>,
    state: Mutex<(State, Instant)>,
}

impl Viewing {
    /// These marks were delivered, too. Answers whether it need not be told of
    /// more: it is a play.
    pub(super) fn mark(&self, marks: Marks) -> bool {
        let (state, _) = &mut *self.state.lock();
        state.marks = state.marks.and(marks);
        if !state.is_play && state.marks.is_play() {
            state.is_play = true;
            self.account.played();
        }
        state.is_play
    }

    /// An answer is over. Answers whether it may have been the last one of a
    /// viewing that was cut off.
    fn ended(&self, cut: bool) -> bool {
        let (state, seen) = &mut *self.state.lock();
        state.running = state.running.saturating_sub(1);
        *seen = Instant::now();
        cut && !state.is_play && !state.is_aborted
    }

    /// Nothing came after the cut: it was aborted, unless something did come.
    fn judge(&self) {
        let (state, _) = &mut *self.state.lock();
        if state.running == 0 && !state.is_play && !state.is_aborted {
            state.is_aborted = true;
            self.account.aborted();
        }
    }
}

/// The viewings of this node.
pub(super) struct Viewings {
    known: Cache<u64, Arc<Viewing>>,
    hash: RandomState,
    cut: Mutex<VecDeque<(Instant, Arc<Viewing>)>>,
}

impl Viewings {
    pub(super) fn new() -> Self {
        Self { known: Cache::new(VIEWINGS), hash: RandomState::new(), cut: Mutex::default() }
    }

    /// The viewing that an answer to `viewer` belongs to; it runs from here on.
    pub(super) fn join(&self, account: &Arc<Account>, viewer: &Viewer<'_>) -> Arc<Viewing> {
        let who = self.who(&account.key, viewer);
        let now = Instant::now();
        if let Some(viewing) = self.known.get(&who) {
            let (state, seen) = &mut *viewing.state.lock();
            if state.running > 0 || now - *seen < PAUSE {
                state.running += 1;
                *seen = now;
                return Arc::clone(&viewing);
            }
        }
        let state = State { running: 1, ..State::default() };
        let viewing = Arc::new(Viewing { account: Arc::clone(account), state: Mutex::new((state, now)) });
        self.known.insert(who, Arc::clone(&viewing));
        viewing
    }

    fn who(&self, key: &ClipKey, viewer: &Viewer<'_>) -> u64 {
        let field = |name| viewer.headers.get(name).map(http::HeaderValue::as_bytes);
        let fields = [field(header::USER_AGENT), field(header::HeaderName::from_static("x-forwarded-for"))];
        self.hash.hash_one((key.as_str(), viewer.from, viewer.link, fields))
    }

    /// An answer of a viewing is over.
    pub(super) fn ended(&self, viewing: &Arc<Viewing>, cut: bool) {
        if !viewing.ended(cut) {
            return;
        }
        let first = {
            let mut queue = self.cut.lock();
            queue.push_back((Instant::now() + AWAY, Arc::clone(viewing)));
            if queue.len() > VIEWINGS { queue.pop_front() } else { None }
        };
        if let Some((_, viewing)) = first {
            viewing.judge();
        }
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
