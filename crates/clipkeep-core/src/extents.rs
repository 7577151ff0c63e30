//! Which bytes of a clip are there: a set of ranges, and what to fetch next.

use std::ops::Range;

/// A set of byte ranges, kept sorted, disjoint and as few as possible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extents(Vec<Range<u64>>);

impl Extents {
    /// Adds `range`. Empty ranges change nothing.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|have| have.end < range.start);
        let last = self.0.partition_point(|have| have.start <= range.end);
        let merged = match self.0.get(first..last) {
            Some([from, .., to]) => from.start.min(range.start)..to.end.max(range.end),
            Some([only]) => only.start.min(range.start)..only.end.max(range.end),
            _ => range,
        };
        self.0.splice(first..last, [merged]);
    }

    /// Where the bytes that are there from `at` on end; `at` itself if the byte
    /// there is missing.
    pub fn end_from(&self, at: u64) -> u64 {
        let next = self.0.partition_point(|have| have.end <= at);
        self.0.get(next).filter(|have| have.start <= at).map_or(at, |have| have.end)
    }

    /// Whether all of `range` is there.
    pub fn covers(&self, range: &Range<u64>) -> bool {
        range.is_empty() || self.end_from(range.start) >= range.end
    }

    /// The first run of missing bytes within `range`.
    pub fn gap(&self, range: Range<u64>) -> Option<Range<u64>> {
        let start = self.end_from(range.start);
        if start >= range.end {
            return None;
        }
        let next = self.0.partition_point(|have| have.start <= start);
        Some(start..self.0.get(next).map_or(range.end, |have| have.start.min(range.end)))
    }

    /// How many bytes are there.
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|have| have.end - have.start).sum()
    }

    /// The ranges, in order.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.0
    }
}

impl FromIterator<Range<u64>> for Extents {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut extents = Self::default();
        ranges.into_iter().for_each(|range| extents.insert(range));
        extents
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn neighbours_become_one() {
        let mut extents: Extents = [0..2, 4..6, 8..9].into_iter().collect();
        extents.insert(2..4);
        assert_eq!(extents.ranges(), [0..6, 8..9]);
        assert_eq!((extents.end_from(1), extents.end_from(6), extents.end_from(8)), (6, 6, 9));
        assert_eq!((extents.gap(0..20), extents.gap(7..8), extents.gap(0..6)), (Some(6..8), Some(7..8), None));
        assert_eq!(extents.gap(8..20), Some(9..20));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set_of_bytes(inserts in vec((0_u64..64, 0_u64..16), 0..24), at in 0_u64..80, len in 0_u64..20) {
            let mut extents = Extents::default();
            let mut bytes = [false; 128];
            for (start, len) in inserts {
                extents.insert(start..start + len);
                bytes[start as usize..(start + len) as usize].fill(true);
            }
            prop_assert_eq!(extents.sum(), bytes.iter().filter(|there| **there).count() as u64);
            prop_assert!(extents.ranges().windows(2).all(|pair| pair[0].end < pair[1].start));
            let end = (at as usize..128).find(|&i| !bytes[i]).unwrap_or(128) as u64;
            prop_assert_eq!(extents.end_from(at), end.max(at));
            let range = at..at + len;
            let missing = range.clone().find(|&i| !bytes[i as usize]);
            prop_assert_eq!(extents.covers(&range), missing.is_none());
            let gap = missing.map(|from| from..(from..range.end).find(|&i| bytes[i as usize]).unwrap_or(range.end));
            prop_assert_eq!(extents.gap(range), gap);
        }
    }
}
