//! The stream of events: who listens is woken when the node heard of something.

use std::sync::Arc;

use clipkeep_core::{event::Position, id::Tenant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::shares::{Share, Shares};

/// How many streams a node serves at once.
const STREAMS: u64 = 64;
/// What a node heard of, for all its streams and endpoints.
pub struct Feed {
    heard: watch::Sender<Position>,
    places: Arc<Shares>,
    ending: CancellationToken,
}

impl Feed {
    /// A feed of a node that has heard of everything up to `position`.
    pub fn new(position: Position) -> Self {
        let heard = watch::Sender::new(position);
        Self { heard, places: Shares::new(STREAMS), ending: CancellationToken::new() }
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
        let feed = Feed::new(Position { tx: 0, id: 0 });
        let tenants: Vec<Tenant> = (0..STREAMS).map(|n| format!("t{n}").parse().unwrap()).collect();
        let held: Vec<Share> = tenants.iter().filter_map(|tenant| feed.enter(Some(tenant))).collect();
        assert_eq!(held.len(), 48);
        assert!(feed.enter(None).is_some());
    }

    #[test]
    fn one_tenant_does_not_take_all_places() {
        let feed = Feed::new(Position { tx: 0, id: 0 });
        let (one, other): (Tenant, Tenant) = ("one".parse().unwrap(), "other".parse().unwrap());
        let enter = |of: Option<&Tenant>| feed.enter(of);
        let mut ones: Vec<Share> = std::iter::from_fn(|| enter(Some(&one))).collect();
        assert_eq!(ones.len(), 16);
        let others: Vec<Share> = std::iter::from_fn(|| enter(Some(&other))).collect();
        assert_eq!(others.len(), 16);
        let admins: Vec<Share> = std::iter::from_fn(|| enter(None)).collect();
        assert_eq!(admins.len(), 32);
        ones.pop();
        drop(enter(Some(&one)).expect("who leaves makes room"));
        drop((ones, others, admins));
        assert_eq!(feed.places.used(), 0);
    }
}
