//! The stream of events: who listens is woken when the node heard of something.

use std::{collections::HashMap, sync::Arc};

use clipkeep_core::{event::Position, id::Tenant};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How many streams a node serves at once.
const STREAMS: usize = 64;
/// How many of them all tenants may have together: the rest is kept for admins.
const STREAMS_OF_TENANTS: usize = STREAMS / 4 * 3;
/// How many of them one tenant may have.
const STREAMS_OF_ONE: usize = STREAMS / 4;

/// Who has how many streams; nobody's are the admin's.
type Taken = Mutex<HashMap<Option<Tenant>, usize>>;

/// A stream's place, until it is dropped.
pub struct Place {
    of: Option<Tenant>,
    taken: Arc<Taken>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        if let Some(count) = taken.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

/// What a node heard of, for all its streams and endpoints.
pub struct Feed {
    heard: watch::Sender<Position>,
    taken: Arc<Taken>,
    ending: CancellationToken,
}

impl Feed {
    /// A feed of a node that has heard of everything up to `position`.
    pub fn new(position: Position) -> Self {
        let heard = watch::Sender::new(position);
        Self { heard, taken: Arc::default(), ending: CancellationToken::new() }
    }

    /// The node heard of everything up to `position`.
    pub fn tell(&self, position: Position) {
        self.heard.send_replace(position);
    }

    /// Changes when the node hears of something.
    pub fn listen(&self) -> watch::Receiver<Position> {
        self.heard.subscribe()
    }

    /// A place for one more stream of this tenant, or of the admin, if there is
    /// one.
    pub fn enter(&self, of: Option<&Tenant>) -> Option<Place> {
        let (of, mut taken) = (of.cloned(), self.taken.lock());
        let own = taken.get(&of).copied().unwrap_or_default();
        let all: usize = taken.values().sum();
        let tenants = all - taken.get(&None).copied().unwrap_or_default();
        let is_full = all >= STREAMS || of.is_some() && (own >= STREAMS_OF_ONE || tenants >= STREAMS_OF_TENANTS);
        if is_full {
            return None;
        }
        taken.insert(of.clone(), own + 1);
        Some(Place { of, taken: Arc::clone(&self.taken) })
    }

    /// Ends all streams.
    pub fn end(&self) {
        self.ending.cancel();
    }

    /// Is cancelled when streams end.
    pub const fn ending(&self) -> &CancellationToken {
        &self.ending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h43_tenants_together_leave_places_for_admins() {
        let feed = Feed::new(Position { tx: 0, id: 0 });
        let tenants: Vec<Tenant> = (0..STREAMS).map(|n| format!("t{n}").parse().unwrap()).collect();
        let held: Vec<Place> = tenants.iter().filter_map(|tenant| feed.enter(Some(tenant))).collect();
        assert_eq!(held.len(), STREAMS_OF_TENANTS);
        assert!(feed.enter(None).is_some());
    }

    #[test]
    fn one_tenant_does_not_take_all_places() {
        let feed = Feed::new(Position { tx: 0, id: 0 });
        let (one, other): (Tenant, Tenant) = ("one".parse().unwrap(), "other".parse().unwrap());
        let enter = |of: Option<&Tenant>| feed.enter(of);
        let mut ones: Vec<Place> = std::iter::from_fn(|| enter(Some(&one))).collect();
        assert_eq!(ones.len(), STREAMS_OF_ONE);
        let others: Vec<Place> = std::iter::from_fn(|| enter(Some(&other))).collect();
        assert_eq!(others.len(), STREAMS_OF_ONE);
        let admins: Vec<Place> = std::iter::from_fn(|| enter(None)).collect();
        assert_eq!(admins.len(), STREAMS - 2 * STREAMS_OF_ONE);
        ones.pop();
        drop(enter(Some(&one)).expect("who leaves makes room"));
        drop((ones, others, admins));
        assert!(feed.taken.lock().is_empty());
    }
}
