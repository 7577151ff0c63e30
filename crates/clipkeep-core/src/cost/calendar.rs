//! Months and days, UTC: a price per month is for that month's own length.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};

use crate::time::Timestamp;

/// What time is cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Days,
    Months,
}

/// A piece of time that lies in one month, or one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
    /// How many seconds its month has.
    pub month_secs: u64,
}

fn date(at: Timestamp) -> NaiveDate {
    DateTime::<Utc>::from_timestamp_millis(at.millis()).unwrap_or_default().date_naive()
}

fn start(day: NaiveDate) -> Timestamp {
    Timestamp::from_millis(day.and_hms_opt(0, 0, 0).unwrap_or_default().and_utc().timestamp_millis())
}

/// When the month of `at` begins, and when the next one does.
pub fn month_of(at: Timestamp) -> (Timestamp, Timestamp) {
    let first = date(at).with_day(1).unwrap_or_default();
    (start(first), start(first.checked_add_months(Months::new(1)).unwrap_or(first)))
}

/// The day of `at` as `2026-01-31`, or its month as `2026-01`.
pub fn name_of(at: Timestamp, cut: Cut) -> String {
    match cut {
        Cut::Days => date(at).format("%Y-%m-%d").to_string(),
        Cut::Months => date(at).format("%Y-%m").to_string(),
    }
}

/// The time from `from` to `to` in pieces, none of which reaches over a month's
/// end, nor over a day's if it is cut into days.
pub fn slices(from: Timestamp, to: Timestamp, cut: Cut) -> Vec<Slice> {
    let mut slices = Vec::new();
    let mut at = from;
    while at < to {
        let (month, next_month) = month_of(at);
        let next = match cut {
            Cut::Months => next_month,
            Cut::Days => start(date(at).checked_add_days(Days::new(1)).unwrap_or_default()),
        };
        // Beyond the calendar's end there is nothing.
        if next <= at {
            break;
        }
        let end = next.min(to);
        slices.push(Slice { from: at, to: end, month_secs: next_month.since(month).as_secs() });
        at = end;
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn pieces_cover_all_and_lie_in_one_month() {
        let (from, to) = (at("2026-01-30T12:00:00Z"), at("2026-03-01T00:00:01Z"));
        let months = slices(from, to, Cut::Months);
        let days: Vec<u64> = months.iter().map(|slice| slice.month_secs / 86_400).collect();
        assert_eq!(days, [31, 28, 31]);
        assert_eq!((months[0].to, months[2].from), (at("2026-02-01T00:00:00Z"), at("2026-03-01T00:00:00Z")));
        for cut in [Cut::Days, Cut::Months] {
            let pieces = slices(from, to, cut);
            assert_eq!((pieces[0].from, pieces[pieces.len() - 1].to), (from, to));
            assert!(pieces.windows(2).all(|two| two[0].to == two[1].from));
        }
        assert_eq!(slices(from, to, Cut::Days).len(), 31);
        assert_eq!(slices(to, from, Cut::Days), []);
        assert_eq!((name_of(from, Cut::Days), name_of(from, Cut::Months)), ("2026-01-30".into(), "2026-01".into()));
        assert_eq!(month_of(at("2024-02-29T23:59:59Z")), (at("2024-02-01T00:00:00Z"), at("2024-03-01T00:00:00Z")));
    }
}
