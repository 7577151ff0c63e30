//! One attempt at a fill: the claim that it stands on, and what it read so far.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Inner;
use crate::catalog::{Attempt, Claim};

pub(super) struct Ongoing {
    pub(super) claim: Claim,
    read: AtomicU64,
}

impl Ongoing {
    pub(super) const fn new(claim: Claim) -> Self {
        Self { claim, read: AtomicU64::new(0) }
    }

    /// Counts what came from the source, kept or not.
    pub(super) fn count(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The attempt, if it ends now.
    pub(super) fn ended(&self, inner: &Inner) -> Attempt {
        Attempt { at: inner.parts.clock.now(), bytes: self.read.load(Ordering::Relaxed) }
    }
}
