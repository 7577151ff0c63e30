//! One attempt at a fill: the claim that it stands on, and what it read so far.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use clipkeep_core::id::ClipKey;

use super::{Inner, stored_notice::HeldCopy};
use crate::{
    catalog::{Attempt, Claim},
    usage::Account,
};

pub(super) struct Ongoing {
    pub(super) claim: Claim,
    read: AtomicU64,
    account: Arc<Account>,
    /// The clip's copy, where it is to be held for longer than this.
    pub(super) copy: Option<HeldCopy>,
}

impl Ongoing {
    pub(super) fn new(inner: &Inner, claim: Claim) -> Self {
        let account = inner.parts.usage.account(&claim.lease.key, claim.clip.facts.tenant.as_ref());
        Self { claim, read: AtomicU64::new(0), account, copy: None }
    }

    /// The clip has another name from now on.
    pub(super) fn renamed(&mut self, to: ClipKey) {
        let Claim { lease, clip, .. } = &mut self.claim;
        let first = clip.first_key().clone();
        clip.was_key = Some(first).filter(|first| *first != to);
        (lease.key, clip.key) = (to.clone(), to);
    }

    /// Counts what came from the source, kept or not.
    pub(super) fn count(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
        self.account.source_read(bytes);
    }

    /// How many bytes came from the source, kept or not.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The attempt, if it ends now.
    pub(super) fn ended(&self, inner: &Inner) -> Attempt {
        Attempt { at: inner.parts.clock.now(), bytes: self.read() }
    }
}
