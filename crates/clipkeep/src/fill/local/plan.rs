//! Which bytes are asked for next.

use std::ops::Range;

use super::LocalCopy;

/// How badly bytes are needed that a free connection may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A viewer stands still without them.
    Waited,
    /// A viewer comes to them soon.
    Wanted,
    Missing,
}

impl Need {
    /// What the next connection is for, where `open` of `most` are open: the
    /// last one is kept for who stands still, the one before it for viewers.
    pub const fn of_next(open: usize, most: usize) -> Self {
        if open > 0 && open + 1 >= most {
            Self::Waited
        } else if open > 0 && open + 2 >= most {
            Self::Wanted
        } else {
            Self::Missing
        }
    }
}

/// What a request that is on its way will bring.
#[derive(Clone, Debug)]
pub struct PendingRange {
    /// All of it.
    pub range: Range<u64>,
    /// Up to where it will be soon: a viewer who stands still may wait for that.
    pub soon: u64,
    /// The same for what costs as much again to ask for: bytes in the midst of
    /// what it brings.
    pub in_time: u64,
}

impl From<Range<u64>> for PendingRange {
    /// A request that is short.
    fn from(range: Range<u64>) -> Self {
        Self { soon: range.end, in_time: range.end, range }
    }
}

/// A connection's worth: less is not asked for if more is missing.
const LEAST: u64 = 256 * 1024;
/// So near to the end little can be brought twice.
const END: u64 = 32 * 1024;

impl LocalCopy {
    /// The next bytes to ask for, with `pending` on their way already: what a
    /// viewer waits for, then what is in viewers' windows, then what is missing
    /// first; as far down as `need` goes. At most `most` bytes, and how badly
    /// they are needed.
    pub fn plan(&self, pending: &[PendingRange], need: Need, most: u64) -> Option<(Range<u64>, Need)> {
        let state = self.state.lock();
        let total = state.opened.as_ref()?.total?;
        let (mut soon, mut in_time) = (state.have.clone(), state.have.clone());
        pending.iter().for_each(|pending| soon.insert(pending.range.start..pending.soon));
        pending.iter().for_each(|pending| in_time.insert(pending.range.start..pending.in_time));
        let wants = || state.wants.values().map(|want| want.start.min(total)..want.end.min(total));
        let is_waited = |want: &Range<u64>| {
            let is_at_the_end = total - want.start <= (total / 64).max(END);
            let there = if is_at_the_end { &soon } else { &in_time };
            !want.is_empty() && there.end_from(want.start) == want.start
        };
        if let Some(want) = wants().find(is_waited) {
            // Soon there, so that the next one who waits has not long to wait.
            let end = want.start + if need == Need::Waited { LEAST.min(most) } else { most };
            let gap = soon.gap(want.start..end.min(want.end.max(want.start + LEAST)).min(total));
            return gap.map(|gap| (gap, Need::Waited));
        }
        if need == Need::Waited {
            return None;
        }
        // Who reads along with a long answer, or what it left, gets from it what
        // follows, and then from the one that brings what is behind it.
        let ahead = |want: &Range<u64>| {
            let mut at = state.have.end_from(want.start);
            loop {
                let along = pending.iter().filter(|pending| (pending.range.start..=pending.in_time).contains(&at));
                match along.map(|pending| pending.range.end).max().filter(|end| *end > at) {
                    Some(end) => at = state.have.end_from(end),
                    None => return at,
                }
            }
        };
        if let Some(gap) = wants().find_map(|want| in_time.gap(ahead(&want)..want.end)) {
            let end = gap.end.max(gap.start + LEAST).min(gap.start + most);
            return in_time.gap(gap.start..end.min(total)).map(|gap| (gap, Need::Wanted));
        }
        if need == Need::Wanted {
            return None;
        }
        let mut coming = state.have.clone();
        pending.iter().for_each(|pending| coming.insert(pending.range.clone()));
        let gap = coming.gap(0..total)?;
        Some((gap.start..gap.end.min(gap.start + most), Need::Missing))
    }
}
