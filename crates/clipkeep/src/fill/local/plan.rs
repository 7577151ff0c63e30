//! Which bytes are asked for next.

use std::ops::Range;

use clipkeep_core::extents::Extents;

use super::LocalCopy;

/// How badly bytes are needed that a free connection may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A viewer stands still without them.
    Waited,
    /// A viewer comes to them soon.
    Wanted,
    /// They are missing.
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

/// A connection's worth: less is not asked for if more is missing.
const LEAST: u64 = 256 * 1024;

impl LocalCopy {
    /// The next bytes to ask for, with `flying` on their way already: what a
    /// viewer waits for, then what is in viewers' windows, then what is missing
    /// first; as far down as `need` goes. At most `most` bytes.
    pub fn plan(&self, flying: &Extents, need: Need, most: u64) -> Option<Range<u64>> {
        let state = self.state.lock();
        let total = state.opened.as_ref()?.total?;
        let mut there = state.have.clone();
        flying.ranges().iter().for_each(|range| there.insert(range.clone()));
        let wants = || state.wants.values().map(|want| want.start.min(total)..want.end.min(total));
        let waited = wants().find(|want| !want.is_empty() && there.end_from(want.start) == want.start);
        if let Some(want) = waited {
            // Soon there, so that the next one who waits has not long to wait.
            let end = want.start + if need == Need::Waited { LEAST.min(most) } else { most };
            return there.gap(want.start..end.min(want.end.max(want.start + LEAST)).min(total));
        }
        if need == Need::Waited {
            return None;
        }
        if let Some(gap) = wants().find_map(|want| there.gap(want)) {
            let end = gap.end.max(gap.start + LEAST).min(gap.start + most);
            return there.gap(gap.start..end.min(total));
        }
        if need == Need::Wanted {
            return None;
        }
        let gap = there.gap(0..total)?;
        Some(gap.start..gap.end.min(gap.start + most))
    }
}
