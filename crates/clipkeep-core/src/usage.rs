//! Usage: what was delivered, and what counts as a play. `docs/usage.md` says
//! the same in words for users.

use std::{
    ops::{AddAssign, Range},
    str::FromStr,
};

use crate::{
    id::{ClipKey, Tenant},
    time::Timestamp,
};

pub const HOUR_MILLIS: i64 = 3_600_000;

/// What was delivered of a clip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Viewings of which at least a quarter of the clip was delivered.
    pub plays: u64,
    /// Body bytes that were handed to viewers' sockets.
    pub viewer_bytes: u64,
    /// Answers that carry bytes, from what this node had at hand.
    pub hits: u64,
    /// Answers that carry bytes, which had to be brought: their requests started
    /// a fill or joined one, or read store or source through.
    pub cold_fetches: u64,
    /// Bytes that were read from the source.
    pub source_bytes: u64,
    /// Viewings that their viewer cut off before they were a play.
    pub aborted_plays: u64,
    /// Microseconds from a request to its answer's first byte, summed up.
    pub first_byte_micros: u64,
    /// Of how many answers that is the sum.
    pub first_bytes: u64,
}

impl Counts {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.plays += other.plays;
        self.viewer_bytes += other.viewer_bytes;
        self.hits += other.hits;
        self.cold_fetches += other.cold_fetches;
        self.source_bytes += other.source_bytes;
        self.aborted_plays += other.aborted_plays;
        self.first_byte_micros += other.first_byte_micros;
        self.first_bytes += other.first_bytes;
    }
}

/// What was delivered of a clip in an hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    pub hour: Timestamp,
    pub key: ClipKey,
    pub tenant: Option<Tenant>,
    pub counts: Counts,
}

/// The hour that `at` lies in, UTC.
pub const fn hour_of(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.millis().div_euclid(HOUR_MILLIS).saturating_mul(HOUR_MILLIS))
}

/// A moment as people give it: an RFC 3339 time, a day, or a month, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub Timestamp);

/// The text is no moment.
#[derive(Debug, thiserror::Error)]
#[error("not a time such as 2026-01-31T12:00:00Z, 2026-01-31 or 2026-01")]
pub struct MomentError;

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = |text: &str| text.parse::<Timestamp>().ok();
        let time = match text.len() {
            7 => parse(&format!("{text}-01T00:00:00Z")),
            10 => parse(&format!("{text}T00:00:00Z")),
            _ => parse(text),
        };
        time.map(Self).ok_or(MomentError)
    }
}

/// The marks of a clip that were delivered to one viewer: 64 bytes spread evenly
/// over it. A probe of a few bytes meets none, a range that is asked for again
/// meets the same ones, and ranges of one viewing meet different ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(pub u64);

/// How many of the marks make a play: a quarter of the clip.
const PLAY: u32 = Marks::COUNT / 4;

impl Marks {
    const COUNT: u32 = u64::BITS;

    /// All of them.
    pub const ALL: Self = Self(u64::MAX);

    /// Those that lie in `range` of a clip of `len` bytes. Mark `n` stands in the
    /// middle of the clip's `n`th sixty-fourth.
    pub fn of(range: &Range<u64>, len: u64) -> Self {
        // Mark n, at len * (2n + 1) / 128, lies before an offset if
        // 2n + 1 < 128 * offset / len.
        let before = |offset: u64| {
            let twice = (u128::from(offset.min(len)) * 128).div_ceil(u128::from(len.max(1)));
            u32::try_from(twice / 2).unwrap_or(Self::COUNT)
        };
        let up_to = |count: u32| if count >= Self::COUNT { u64::MAX } else { (1 << count) - 1 };
        let (from, to) = (before(range.start), before(range.end));
        Self(up_to(to) & !up_to(from))
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether they make a play.
    pub const fn is_play(self) -> bool {
        self.0.count_ones() >= PLAY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(len: u64, ranges: &[Range<u64>]) -> bool {
        ranges.iter().fold(Marks::default(), |all, range| all.and(Marks::of(range, len))).is_play()
    }

    #[test]
    fn marks_are_spread_over_the_whole_clip() {
        for len in [1, 7, 64, 65, 1000, 15_000_000, u64::MAX] {
            assert_eq!(Marks::of(&(0..len), len), Marks::ALL, "{len}");
            assert_eq!(Marks::of(&(0..0), len), Marks::default(), "{len}");
            // No mark is lost and none is met twice where a range is cut in two.
            for cut in [len / 3, len / 2, len - 1] {
                let (a, b) = (Marks::of(&(0..cut), len), Marks::of(&(cut..len), len));
                assert_eq!((a.and(b), a.0 & b.0), (Marks::ALL, 0), "{len} cut at {cut}");
            }
        }
        assert_eq!(Marks::of(&(0..500_000), 1_000_000).0.count_ones(), 32);
    }

    #[test]
    fn a_probe_is_no_play_and_pieces_of_one_viewing_are() {
        const LEN: u64 = 15_000_000;
        let pieces = |size: u64, of: Range<u64>| -> Vec<_> {
            (of.start / size..of.end / size).map(|n| n * size..(n + 1) * size).collect()
        };
        assert!(!play(LEN, &[0..1, 0..2]), "Safari asks for two bytes first");
        assert!(!play(LEN, &[0..65_536, LEN - 65_536..LEN]), "head and tail are no viewing yet");
        assert!(!play(LEN, &[0..1_000_000, 0..1_000_000, 0..1_000_000, 0..1_000_000]), "retries of one range");
        assert!(play(LEN, &pieces(50_000, 0..LEN / 2)), "small ranges one after another");
        assert!(play(LEN, &[0..1_000_000, 5_000_000..6_500_000, 9_000_000..11_000_000]), "seeks");
        assert!(play(LEN, &[0..LEN, 0..2]));
    }

    #[test]
    fn a_moment_is_a_time_a_day_or_a_month() {
        let millis = |text: &str| text.parse::<Moment>().ok().map(|moment| moment.0.to_string());
        assert_eq!(millis("2026-02"), Some("2026-02-01T00:00:00.000Z".into()));
        assert_eq!(millis("2026-02-28"), Some("2026-02-28T00:00:00.000Z".into()));
        assert_eq!(millis("2026-02-28T01:00:00+01:00"), Some("2026-02-28T00:00:00.000Z".into()));
        for wrong in ["", "2026", "2026-13", "2026-02-30", "yesterday", "äbcdefg"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn hours_begin_on_the_hour() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(hour_of(at("2026-01-31T23:59:59.999Z")), at("2026-01-31T23:00:00Z"));
        assert_eq!(hour_of(at("2026-02-01T00:00:00Z")), at("2026-02-01T00:00:00Z"));
        assert_eq!(hour_of(Timestamp::from_millis(-1)), Timestamp::from_millis(-HOUR_MILLIS));
    }
}
