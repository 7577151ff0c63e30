//! Checksums of what is in a local copy: CRC-32C over ranges of up to
//! [`SPAN`] bytes. They are taken of the bytes before these go to the disk, and
//! say after a restart which of them the disk has kept.

use std::{collections::BTreeMap, ops::Range};

use crc_fast::{CrcAlgorithm::Crc32Iscsi, Digest, checksum, checksum_combine};
use serde::{Deserialize, Serialize};

/// How much one checksum speaks for, at most: what is read again to be
/// believed, or brought again if it is not.
const SPAN: u64 = 4 * 1024 * 1024;

/// A range and the checksum of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sum {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) crc: u32,
}

impl Sum {
    pub(super) const fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    /// The sum of both, where `next` begins where this one ends.
    fn joined(&self, next: &Self) -> Option<Self> {
        let fits = self.end == next.start && next.end - self.start <= SPAN;
        let crc = || checksum_combine(Crc32Iscsi, self.crc.into(), next.crc.into(), next.end - next.start);
        fits.then(|| Self { start: self.start, end: next.end, crc: narrow(crc()) })
    }
}

/// The CRC-32C of these bytes.
pub(super) fn crc(bytes: &[u8]) -> u32 {
    narrow(checksum(Crc32Iscsi, bytes))
}

/// The CRC-32C of bytes that come one after the other.
pub(super) struct Running(Digest);

impl Running {
    pub(super) fn new() -> Self {
        Self(Digest::new(Crc32Iscsi))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(&self) -> u32 {
        narrow(self.0.finalize())
    }
}

/// The crate gives checksums of all widths in 64 bits.
const fn narrow(crc: u64) -> u32 {
    crc as u32
}

/// Checksums of disjoint ranges. Neighbours become one as far as a sum may
/// speak, so that there are few, however small the pieces were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums(BTreeMap<u64, Sum>);

impl Sums {
    /// Adds what was written. What overlaps it goes: those bytes are no longer
    /// the ones that were summed up.
    pub(super) fn insert(&mut self, sum: Sum) {
        while self.take_at(&sum.range()).is_some() {}
        let before = self.0.range(..sum.start).next_back().and_then(|(_, before)| before.joined(&sum));
        let sum = before.unwrap_or(sum);
        let after = self.0.get(&sum.end).and_then(|after| Some((after.start, sum.joined(after)?)));
        let sum = match after {
            Some((start, joined)) => {
                self.0.remove(&start);
                joined
            }
            None => sum,
        };
        self.0.insert(sum.start, sum);
    }

    /// Takes out a sum that speaks for some of `range`.
    pub(super) fn take_at(&mut self, range: &Range<u64>) -> Option<Sum> {
        let (start, sum) = self.0.range(..range.end).next_back()?;
        let start = *start;
        (sum.end > range.start).then(|| self.0.remove(&start))?
    }

    /// The first that begins at `at` or after it.
    pub(super) fn from(&self, at: u64) -> Option<&Sum> {
        self.0.range(at..).next().map(|(_, sum)| sum)
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Sum> {
        self.0.values()
    }

    /// For how many bytes they speak.
    pub(super) fn len(&self) -> u64 {
        self.iter().map(|sum| sum.end - sum.start).sum()
    }
}

impl FromIterator<Sum> for Sums {
    fn from_iter<I: IntoIterator<Item = Sum>>(sums: I) -> Self {
        Self(sums.into_iter().map(|sum| (sum.start, sum)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8], range: Range<u64>) -> Sum {
        let crc = crc(&bytes[range.start as usize..range.end as usize]);
        Sum { start: range.start, end: range.end, crc }
    }

    #[test]
    fn a_checksum_is_castagnolis() {
        assert_eq!(crc(b"123456789"), 0xe306_9283, "the check value of CRC-32C (RFC 3720)");
    }

    #[test]
    fn neighbours_become_one_in_whatever_order_they_came() {
        let bytes: Vec<u8> = (0..100_u8).collect();
        let mut sums = Sums::default();
        for range in [20..30, 0..7, 50..100, 7..20, 30..50] {
            sums.insert(sum(&bytes, range));
        }
        assert_eq!(sums.iter().collect::<Vec<_>>(), [&sum(&bytes, 0..100)]);
    }

    #[test]
    fn no_sum_speaks_for_more_than_its_span_and_there_are_few() {
        let bytes = vec![7; 3 * SPAN as usize];
        let mut sums = Sums::default();
        for start in (0..bytes.len() as u64).step_by(64 * 1024) {
            sums.insert(sum(&bytes, start..start + 64 * 1024));
        }
        let ranges: Vec<_> = sums.iter().map(Sum::range).collect();
        assert_eq!(ranges, [0..SPAN, SPAN..2 * SPAN, 2 * SPAN..3 * SPAN]);
    }

    #[test]
    fn what_is_written_over_is_spoken_for_by_the_new_sum_alone() {
        let (old, new) = ([1; 40], [2; 40]);
        let mut sums: Sums = [sum(&old, 0..10), sum(&old, 12..20), sum(&old, 30..40)].into_iter().collect();
        sums.insert(sum(&new, 5..15));
        assert_eq!(sums.iter().collect::<Vec<_>>(), [&sum(&new, 5..15), &sum(&old, 30..40)]);
        assert_eq!(sums.len(), 20);
    }
}
