//! What is due, of two sorts that must not starve each other: fresh clips, and
//! the backlog. Beside them are suspects: clips whose attempts vanished.
//!
//! An attempt *vanishes* if its lease runs out and another process takes the clip
//! over: whoever held it was killed, or hangs. A node that stops in peace, or
//! that could not reach the database in time, gives its leases back, so these do
//! not count. Neither does an attempt that brought a tenth more of the clip than
//! any before it had (it tells so as it renews its lease): a node that is killed
//! again and again under a long fill gets on, and so does the clip. What remains
//! counts, and [`MAX_VANISHED`] of them in a row end the clip.
//!
//! Everything that one process fills vanishes with it, and only one of these
//! clips is at fault. So one that vanished twice is a suspect, and a process fills
//! no two suspects at a time: the others come through, and are none any more.

use std::{cmp::Ordering, time::Duration};

use super::Claim;

/// How long a clip that became due is fresh.
pub const FRESH_FOR: Duration = Duration::from_secs(60);

/// So many attempts in a row that end without an answer end the clip.
pub const MAX_VANISHED: i64 = 3;
/// How the clip's row says so.
pub(super) const NO_ANSWER: &str = "its attempts end without an answer: whoever fills it is killed, or hangs";

/// How many suspects one look ends, at most.
pub(super) const MAX_ENDED_PER_CLAIM: i64 = 100;

/// How many clips are moved among the backlog with each claim, at least.
const MIN_PROMOTED: u32 = 64;

/// How many due clips to claim, and how fresh ones and backlog share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// As many in all.
    pub limit: u32,
    /// So many are fresh ones, if there are so many, before the backlog has its
    /// turn.
    pub fresh: u32,
    /// At most so many come from the backlog. What it leaves goes to fresh ones.
    pub backlog: u32,
    /// At most so many are suspects, which come before all others.
    pub suspects: u32,
}

impl Quota {
    /// As many, half and half.
    pub const fn halves(limit: u32) -> Self {
        Self { limit, fresh: limit.div_ceil(2), backlog: limit, suspects: limit }
    }

    /// How many suspects to ask for.
    pub(super) fn suspects(self) -> u32 {
        self.suspects.min(self.limit)
    }

    /// Then of fresh ones, if `claimed` were claimed.
    pub(super) fn fresh_first(self, claimed: usize) -> u32 {
        self.fresh.min(self.remainder(claimed))
    }

    /// Then of the backlog, if `claimed` were claimed.
    pub(super) fn backlog_share(self, claimed: usize) -> u32 {
        self.remainder(claimed).min(self.backlog)
    }

    /// Then of fresh ones again.
    pub(super) fn remainder(self, claimed: usize) -> u32 {
        self.limit.saturating_sub(u32::try_from(claimed).unwrap_or(u32::MAX))
    }

    /// How many are moved among the backlog on the way: more than are claimed, so
    /// that the backlog is known by urgency long before it is worked off.
    pub(super) fn promoted(self) -> u32 {
        MIN_PROMOTED.max(self.limit.saturating_mul(2))
    }
}

impl Claim {
    /// Whether its last attempt vanished, so that no other such clip is to be
    /// filled beside it.
    pub const fn is_suspect(&self) -> bool {
        self.clip.vanished > 0
    }
}

/// Soonest `source_expires_at` first, known before unknown, then oldest due.
pub(super) fn by_deadline(a: &Claim, b: &Claim) -> Ordering {
    let urgency = |claim: &Claim| {
        let expires = claim.clip.source_expires_at;
        (expires.is_none(), expires, claim.clip.due_at)
    };
    urgency(a).cmp(&urgency(b)).then_with(|| a.clip.key.cmp(&b.clip.key))
}
