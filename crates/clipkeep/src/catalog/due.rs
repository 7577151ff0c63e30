//! What is due, of two sorts that must not starve each other: fresh clips, and
//! the backlog.

use std::{cmp::Ordering, time::Duration};

use super::Claim;

/// How long a clip that became due is fresh.
pub const FRESH: Duration = Duration::from_secs(60);

/// How many clips are moved among the backlog with each claim, at least.
const PROMOTED: u32 = 64;

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
}

impl Quota {
    /// As many, half and half.
    pub const fn halves(limit: u32) -> Self {
        Self { limit, fresh: limit.div_ceil(2), backlog: limit }
    }

    /// How many to ask for: fresh ones first.
    pub(super) fn first(self) -> u32 {
        self.fresh.min(self.limit)
    }

    /// Then of the backlog, if `claimed` were claimed.
    pub(super) fn second(self, claimed: usize) -> u32 {
        self.third(claimed).min(self.backlog)
    }

    /// Then of fresh ones again.
    pub(super) fn third(self, claimed: usize) -> u32 {
        self.limit.saturating_sub(u32::try_from(claimed).unwrap_or(u32::MAX))
    }

    /// How many are moved among the backlog on the way: more than are claimed, so
    /// that the backlog is known by urgency long before it is worked off.
    pub(super) fn promoted(self) -> u32 {
        PROMOTED.max(self.limit.saturating_mul(2))
    }
}

/// Soonest `source_expires_at` first, known before unknown, then oldest due.
pub(super) fn by_urgency(a: &Claim, b: &Claim) -> Ordering {
    let urgency = |claim: &Claim| {
        let expires = claim.clip.source_expires_at;
        (expires.is_none(), expires, claim.clip.due_at)
    };
    urgency(a).cmp(&urgency(b)).then_with(|| a.clip.key.cmp(&b.clip.key))
}
