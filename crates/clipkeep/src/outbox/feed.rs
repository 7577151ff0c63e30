//! The stream of events: who listens is woken when the node heard of something.

use std::sync::Arc;

use clipkeep_core::event::Position;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// How many streams a node serves at once.
const STREAMS: usize = 64;

/// What a node heard of, for all its streams and endpoints.
pub struct Feed {
    heard: watch::Sender<Position>,
    places: Arc<Semaphore>,
    ending: CancellationToken,
}

impl Feed {
    /// A feed of a node that has heard of everything up to `position`.
    pub fn new(position: Position) -> Self {
        let heard = watch::Sender::new(position);
        Self { heard, places: Arc::new(Semaphore::new(STREAMS)), ending: CancellationToken::new() }
    }

    /// The node heard of everything up to `position`.
    pub fn tell(&self, position: Position) {
        self.heard.send_replace(position);
    }

    /// Changes when the node hears of something.
    pub fn listen(&self) -> watch::Receiver<Position> {
        self.heard.subscribe()
    }

    /// A place for one more stream, if there is one.
    pub fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
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
