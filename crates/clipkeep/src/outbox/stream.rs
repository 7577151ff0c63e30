//! The stream of events: who listens is woken when the node reads a new event.

use std::sync::Arc;

use clipkeep_core::{event::Position, id::Tenant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::shares::{Share, Shares};

/// How many streams a node serves at once.
const MAX_STREAMS: u64 = 64;
/// How far a node has read the events, for all its streams and endpoints.
pub struct EventStream {
    latest: watch::Sender<Position>,
    places: Arc<Shares>,
    ending: CancellationToken,
}

impl EventStream {
    /// A feed of a node that has read events up to `position`.
    pub fn new(position: Position) -> Self {
        let latest = watch::Sender::new(position);
        Self { latest, places: Shares::new(MAX_STREAMS), ending: CancellationToken::new() }
    }

    /// The node has read all events up to `position`.
    pub fn publish(&self, position: Position) {
        self.latest.send_replace(position);
    }

    /// Changes when the node hears of something.
    pub fn listen(&self) -> watch::Receiver<Position> {
        self.latest.subscribe()
    }

    /// A place for one more stream of this tenant, or of the admin, if there is
    /// one.
    pub fn enter(&self, of: Option<&Tenant>) -> Option<Share> {
        self.places.take(of, 1)
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
        let event_stream = EventStream::new(Position { tx: 0, id: 0 });
        let tenants: Vec<Tenant> = (0..MAX_STREAMS).map(|n| format!("t{n}").parse().unwrap()).collect();
        let held: Vec<Share> = tenants.iter().filter_map(|tenant| event_stream.enter(Some(tenant))).collect();
        assert_eq!(held.len(), 48);
        assert!(event_stream.enter(None).is_some());
    }

    #[test]
    fn one_tenant_does_not_take_all_places() {
        let event_stream = EventStream::new(Position { tx: 0, id: 0 });
        let (one, other): (Tenant, Tenant) = ("one".parse().unwrap(), "other".parse().unwrap());
        let enter = |of: Option<&Tenant>| event_stream.enter(of);
        let mut ones: Vec<Share> = std::iter::from_fn(|| enter(Some(&one))).collect();
        assert_eq!(ones.len(), 16);
        let others: Vec<Share> = std::iter::from_fn(|| enter(Some(&other))).collect();
        assert_eq!(others.len(), 16);
        let admins: Vec<Share> = std::iter::from_fn(|| enter(None)).collect();
        assert_eq!(admins.len(), 32);
        ones.pop();
        drop(enter(Some(&one)).expect("who leaves makes room"));
        drop((ones, others, admins));
        assert_eq!(event_stream.places.used(), 0);
    }
}
