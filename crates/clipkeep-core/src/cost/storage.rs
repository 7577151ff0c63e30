//! Storage: bytes that come and go, as the integral over time.

use super::calendar::Slice;

/// The seconds of a day.
const DAY: i64 = 86_400;

/// What came, less what went, on one day (UTC) of a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Days since 1970. Before all of them is what was there when the span began.
    pub day: i64,
    /// Bytes; what went counts as less than nothing.
    pub bytes: i128,
    /// The same times the seconds of that day that were over.
    pub moment: i128,
}

/// The day of a [`Change`] that was there when the span began.
pub const BEFORE: i64 = -1;

/// What a span of time comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Bytes times seconds, for each slice.
    pub byte_secs: Vec<u128>,
    /// Bytes when the span began.
    pub first: u128,
    /// Bytes when it ended.
    pub last: u128,
}

/// Adds up what was stored in each slice, in whole seconds. The slices follow
/// one another, and each begins and ends with a day or with the span; changes
/// are in the order of their days, and lie within the span.
pub fn stored(changes: &[Change], slices: &[Slice]) -> Stored {
    let unsigned = |amount: i128| u128::try_from(amount).unwrap_or_default();
    let mut changes = changes.iter().peekable();
    let mut level = 0;
    while let Some(change) = changes.next_if(|change| change.day == BEFORE) {
        level += change.bytes;
    }
    let first = unsigned(level);
    let mut byte_secs = Vec::with_capacity(slices.len());
    for slice in slices {
        let (from, to) = (slice.from.secs(), slice.to.secs());
        let mut sum = level * i128::from(to - from);
        while let Some(change) = changes.next_if(|change| change.day * DAY < to) {
            sum += change.bytes * i128::from(to - change.day * DAY) - change.moment;
            level += change.bytes;
        }
        byte_secs.push(unsigned(sum));
    }
    Stored { byte_secs, first, last: unsigned(level) }
}

/// Bytes times seconds of slices that are still to come, if `bytes` are there
/// when they begin and `growth` more come, evenly, each `span` seconds.
pub fn ahead(bytes: u128, growth: u128, span: u64, slices: &[Slice]) -> Vec<(u64, u128)> {
    let Some(began) = slices.first().map(|slice| slice.from.secs()) else { return Vec::new() };
    let since = |at: crate::time::Timestamp| u128::try_from(at.secs() - began).unwrap_or_default();
    let come = |slice: &Slice| {
        let (from, to) = (since(slice.from), since(slice.to));
        let more = growth.saturating_mul(to * to - from * from) / (2 * u128::from(span.max(1)));
        (slice.month_secs, bytes.saturating_mul(to - from).saturating_add(more))
    };
    slices.iter().map(come).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        cost::calendar::{Cut, slices},
        time::Timestamp,
    };

    const BEGAN: i64 = 1_800_000_000;

    /// What the catalogue tells of these periods (from, until, bytes).
    fn changes(periods: &[(i64, i64, u32)], from: i64, to: i64) -> Vec<Change> {
        let mut found = Vec::new();
        for (came, went, bytes) in periods.iter().filter(|(came, went, _)| *came < to && *went > from) {
            let at = |at: i64, bytes: i128| Change {
                day: at.div_euclid(DAY),
                bytes,
                moment: bytes * i128::from(at.rem_euclid(DAY)),
            };
            let came = if *came <= from {
                Change { day: BEFORE, bytes: (*bytes).into(), moment: 0 }
            } else {
                at(*came, (*bytes).into())
            };
            found.push(came);
            if *went < to {
                found.push(at(*went, -i128::from(*bytes)));
            }
        }
        found.sort_by_key(|change| change.day);
        found
    }

    proptest! {
        #[test]
        fn each_stay_by_itself_comes_to_the_same(
            periods in prop::collection::vec((0..90 * DAY, 1..40 * DAY, any::<u32>()), 0..20),
            from in 0..40 * DAY, long in 1..40 * DAY, by_day: bool,
        ) {
            let periods: Vec<_> =
                periods.iter().map(|(at, long, bytes)| (BEGAN + at, BEGAN + at + long, *bytes)).collect();
            let (from, to) = (BEGAN + from, BEGAN + from + long);
            let cut = if by_day { Cut::Days } else { Cut::Months };
            let slices = slices(Timestamp::from_secs(from), Timestamp::from_secs(to), cut);
            let told = stored(&changes(&periods, from, to), &slices);
            for (slice, sum) in slices.iter().zip(&told.byte_secs) {
                let (a, b) = (slice.from.secs(), slice.to.secs());
                let naive = |(came, went, bytes): &(i64, i64, u32)| {
                    u128::from(*bytes) * u128::try_from((*went.min(&b) - *came.max(&a)).max(0)).unwrap()
                };
                prop_assert_eq!(*sum, periods.iter().map(naive).sum::<u128>());
            }
            let there = |at: i64| move |(came, went, bytes): &(i64, i64, u32)| {
                if *came <= at && *went > at { u128::from(*bytes) } else { 0 }
            };
            prop_assert_eq!(told.first, periods.iter().map(there(from)).sum::<u128>());
            prop_assert_eq!(told.last, periods.iter().map(there(to - 1)).sum::<u128>());
        }
    }

    #[test]
    fn what_is_to_come_is_what_is_there_and_its_growth() {
        let (from, to) = (Timestamp::from_secs(BEGAN), Timestamp::from_secs(BEGAN + 10 * DAY));
        let slices = slices(from, to, Cut::Days);
        let sum = |growth| ahead(1000, growth, 86_400, &slices).iter().map(|(_, sum)| sum).sum::<u128>();
        assert_eq!(sum(0), 10 * 86_400_000);
        // Ten times 50 a day come evenly: 250 more on average.
        assert_eq!(sum(50), 10 * 86_400_000 + 250 * 864_000);
        assert!(ahead(1, 1, 1, &[]).is_empty());
    }
}
