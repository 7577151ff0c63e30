//! The places that connections take, and who gives one up when there is none
//! left for another.
//!
//! What a connection is for shows with its first request. Viewers have most of
//! the places, never all: the rest is for webhooks, health and the API. When all
//! are taken, connections on which nothing happens go first, then clients that
//! do not read what they asked for, the longest first. Who reads a long download
//! is never cut off, and no request that is being answered is, but to one that
//! does not read.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::telemetry::Metrics;

/// The most places that are kept from viewers.
const MAX_RESERVED: usize = 256;
/// How often the log says that there are no places left.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// All places of a listener.
pub(super) struct ConnectionSlots {
    most: usize,
    for_viewers: usize,
    viewers: AtomicUsize,
    taken: Mutex<SlotsInUse>,
    freed: Notify,
    began: Instant,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct SlotsInUse {
    next: u64,
    connections: HashMap<u64, Arc<ConnectionState>>,
    warned: Option<Instant>,
}

/// What is known of one connection, for whoever needs its place. Written on the
/// way of every request, so without a lock.
pub(super) struct ConnectionState {
    began: Instant,
    is_viewer: AtomicBool,
    /// Whether a request is here whose answer's body is not.
    answering: AtomicBool,
    /// Whether a client that closes its side waits for its answer.
    may_close: AtomicBool,
    /// Whether the last request had a body, of which some may be on its way.
    has_body: AtomicBool,
    /// Since when no request runs and nothing is to be sent; 0 while it does.
    idle: AtomicU64,
    /// Since when it shows that a client does not read its answer; 0 if it does.
    stalled: AtomicU64,
    leave: CancellationToken,
}

impl ConnectionState {
    /// Moments count from 1.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// A request is here.
    pub(super) fn is_busy(&self) {
        self.answering.store(true, Relaxed);
        self.idle.store(0, Relaxed);
    }

    /// Whether a client that closes its side now is taken to wait.
    pub(super) fn may_close(&self, may: bool) {
        self.may_close.store(may, Relaxed);
    }

    /// Whether the request that is here has a body.
    pub(super) fn takes_body(&self, takes: bool) {
        self.has_body.store(takes, Relaxed);
    }

    /// Whether some of a request's body may be on its way yet.
    pub(super) fn has_body(&self) -> bool {
        self.has_body.load(Relaxed)
    }

    /// Whether one that has closed its side waits.
    pub(super) fn waits(&self) -> bool {
        self.is_answering() && self.may_close.load(Relaxed)
    }

    /// All of its answer was handed over.
    pub(super) fn is_answered(&self) {
        self.answering.store(false, Relaxed);
    }

    /// Whether a request runs.
    pub(super) fn is_answering(&self) -> bool {
        self.answering.load(Relaxed)
    }

    /// Nothing is to be sent any more.
    pub(super) fn is_idle(&self) {
        self.idle.store(self.now(), Relaxed);
    }

    /// The client does not read what it asked for.
    pub(super) fn is_stalled(&self) {
        self.stalled.store(self.now(), Relaxed);
    }

    /// It reads again.
    pub(super) fn flows(&self) {
        self.stalled.store(0, Relaxed);
    }

    /// How little is lost if it goes: the class, then the moment. None for one
    /// that stays.
    fn rank(&self) -> Option<(u8, u64)> {
        if self.leave.is_cancelled() {
            return None;
        }
        match (self.idle.load(Relaxed), self.stalled.load(Relaxed)) {
            (0, 0) => None,
            (0, since) => Some((1, since)),
            (since, _) => Some((0, since)),
        }
    }
}

/// One connection's place, until it is dropped.
pub(super) struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    id: u64,
    pub(super) connection: Arc<ConnectionState>,
}

impl ConnectionSlots {
    pub(super) fn new(most: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        let kept = (most / 8).clamp(1, MAX_RESERVED).min(most.saturating_sub(1));
        Arc::new(Self {
            most,
            for_viewers: most - kept,
            viewers: AtomicUsize::new(0),
            taken: Mutex::default(),
            freed: Notify::new(),
            began: Instant::now(),
            metrics,
        })
    }

    /// A place for a new connection; where all are taken, it waits until one
    /// that is worth less has gone. Dropping the future takes none.
    pub(super) async fn enter(self: &Arc<Self>) -> ConnectionSlot {
        loop {
            let freed = self.freed.notified();
            {
                let mut taken = self.taken.lock();
                if taken.connections.len() < self.most {
                    return self.take(&mut taken);
                }
                self.is_full(&mut taken, "connections wait");
                self.make_room(&taken, |_| true);
            }
            // Who does not read now may be found out in a moment.
            let _ = tokio::time::timeout(Duration::from_millis(500), freed).await;
        }
    }

    fn take(self: &Arc<Self>, taken: &mut SlotsInUse) -> ConnectionSlot {
        taken.next += 1;
        let connection = Arc::new(ConnectionState {
            began: self.began,
            is_viewer: AtomicBool::new(false),
            answering: AtomicBool::new(false),
            may_close: AtomicBool::new(false),
            has_body: AtomicBool::new(false),
            idle: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            leave: CancellationToken::new(),
        });
        connection.is_idle();
        taken.connections.insert(taken.next, Arc::clone(&connection));
        self.metrics.connections(1);
        ConnectionSlot { slots: Arc::clone(self), id: taken.next, connection }
    }

    /// Lets a connection go that is worth the least of those that `may`, if any is.
    /// Some more than one, so that not every newcomer has to look at all.
    fn make_room(&self, taken: &SlotsInUse, may: impl Fn(&ConnectionState) -> bool) -> bool {
        let ranked = taken
            .connections
            .values()
            .filter(|connection| may(connection))
            .filter_map(|connection| Some((connection.rank()?, connection)));
        let mut ranked: Vec<_> = ranked.collect();
        let count = (self.most / 64).clamp(1, 64).min(ranked.len());
        if count == 0 {
            return false;
        }
        ranked.select_nth_unstable_by_key(count - 1, |(rank, _)| *rank);
        for (rank, connection) in &ranked[..count] {
            connection.leave.cancel();
            if connection.is_viewer.swap(false, Relaxed) {
                self.viewers.fetch_sub(1, Relaxed);
            }
            self.metrics.connection_shed(if rank.0 == 0 { "idle" } else { "stalled" });
        }
        true
    }

    fn is_full(&self, taken: &mut SlotsInUse, what: &'static str) {
        if taken.warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            taken.warned = Some(Instant::now());
            let (viewers, connections) = (self.viewers.load(Relaxed), taken.connections.len());
            tracing::warn!(viewers, connections, most = self.most, "max_connections is reached: {what}");
        }
    }

    /// Lets go of what can be spared: there are no open files left.
    pub(super) fn spare(&self) {
        let taken = self.taken.lock();
        self.make_room(&taken, |_| true);
    }
}

impl ConnectionSlot {
    /// Whether there is room for this connection's viewer; once there was, there is.
    pub(super) fn is_for_viewer(&self) -> bool {
        if self.connection.is_viewer.load(Relaxed) {
            return true;
        }
        let slots = &self.slots;
        let enter =
            || slots.viewers.fetch_update(Relaxed, Relaxed, |n| (n < slots.for_viewers).then_some(n + 1)).is_ok();
        let entered = enter() || {
            let mut taken = slots.taken.lock();
            slots.is_full(&mut taken, "viewers are turned away");
            slots.make_room(&taken, |connection| connection.is_viewer.load(Relaxed)) && enter()
        };
        if entered {
            self.connection.is_viewer.store(true, Relaxed);
        } else {
            slots.metrics.connection_shed("viewer");
        }
        entered
    }

    /// Waits until the place is needed for somebody else.
    pub(super) fn is_needed(&self) -> impl Future<Output = ()> + Send + 'static {
        self.connection.leave.clone().cancelled_owned()
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.taken.lock().connections.remove(&self.id);
        if self.connection.is_viewer.swap(false, Relaxed) {
            self.slots.viewers.fetch_sub(1, Relaxed);
        }
        self.slots.metrics.connections(-1);
        self.slots.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn h06_who_does_not_read_makes_room_and_who_reads_stays() {
        let slots = ConnectionSlots::new(8, Arc::new(Metrics::new()));
        let mut held = Vec::new();
        for n in 0..8 {
            let slot = slots.enter().await;
            slot.connection.is_busy();
            assert_eq!(slot.is_for_viewer(), n < 7, "one is kept");
            held.push(slot);
        }
        assert!(!held[7].is_for_viewer(), "all read");
        held[3].connection.is_stalled();
        // Moments are milliseconds.
        tokio::time::sleep(Duration::from_millis(5)).await;
        held[5].connection.is_stalled();
        assert!(held[7].is_for_viewer());
        assert!(held[3].connection.leave.is_cancelled() && !held[5].connection.leave.is_cancelled());
        held[0].connection.is_idle();
        let (newcomer, ()) = tokio::join!(slots.enter(), async {
            held[0].is_needed().await;
            drop(held.remove(0));
        });
        assert!(held.iter().filter(|slot| slot.connection.leave.is_cancelled()).count() == 1);
        drop((held, newcomer));
        assert_eq!((slots.viewers.load(Relaxed), slots.taken.lock().connections.len()), (0, 0));
    }
}
