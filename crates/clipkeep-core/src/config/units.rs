//! Durations and sizes as people write them: `30s`, `24h`, `10GiB`.
//!
//! One whole number and one unit, nothing else, so that every value has one
//! reading. What is printed parses back to the same value.

use std::{fmt, str::FromStr, time::Duration};

/// Why a duration or size was refused. The text is fit for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// It does not start with a whole number.
    #[error("must start with a whole number")]
    NoNumber,
    /// The number has no unit and needs one.
    #[error("needs a unit: {expected}")]
    NoUnit { expected: &'static str },
    /// The unit is none of ours.
    #[error("has an unknown unit; use one of {expected}")]
    UnknownUnit { expected: &'static str },
    /// The number does not fit.
    #[error("is too large")]
    TooLarge,
}

/// A length of time in whole milliseconds, as text: `250ms`, `30s`, `5m`,
/// `24h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationText(pub Duration);

impl From<DurationText> for Duration {
    fn from(text: DurationText) -> Self {
        text.0
    }
}

const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl FromStr for DurationText {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let expected = "ms, s, m, h, d";
        let (number, unit) = split(text)?;
        if unit.is_empty() {
            return Err(UnitError::NoUnit { expected });
        }
        let found = DURATION_UNITS.iter().find(|(name, _)| *name == unit);
        let (_, millis) = found.ok_or(UnitError::UnknownUnit { expected })?;
        number.checked_mul(*millis).map(|millis| Self(Duration::from_millis(millis))).ok_or(UnitError::TooLarge)
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let whole = |(_, unit): &&(&str, u64)| millis.is_multiple_of(u128::from(*unit));
        match DURATION_UNITS.iter().find(whole) {
            Some((name, unit)) if millis > 0 => write!(f, "{}{name}", millis / u128::from(*unit)),
            _ => f.write_str("0s"),
        }
    }
}

/// A number of bytes, as text: `1024`, `500MB`, `64MiB`. Units are powers of
/// 1000 (`kB`, `MB`, `GB`, `TB`) or of 1024 (`KiB`, `MiB`, `GiB`, `TiB`), in
/// either case; a bare number counts bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizeText(pub u64);

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

impl FromStr for SizeText {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text)?;
        if unit.is_empty() {
            return Ok(Self(number));
        }
        let found = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let (_, bytes) = found.ok_or(UnitError::UnknownUnit { expected: "B, kB, MB, GB, TB, KiB, MiB, GiB, TiB" })?;
        number.checked_mul(*bytes).map(Self).ok_or(UnitError::TooLarge)
    }
}

impl fmt::Display for SizeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZE_UNITS.iter().find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit)) {
            Some((name, unit)) if *unit > 1 => write!(f, "{}{name}", self.0 / unit),
            _ => write!(f, "{}", self.0),
        }
    }
}

fn split(text: &str) -> Result<(u64, &str), UnitError> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 {
        return Err(UnitError::NoNumber);
    }
    let number = text[..end].parse().map_err(|_| UnitError::TooLarge)?;
    Ok((number, &text[end..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn duration(text: &str) -> Result<Duration, UnitError> {
        text.parse::<DurationText>().map(|d| d.0)
    }

    fn size(text: &str) -> Result<u64, UnitError> {
        text.parse::<SizeText>().map(|s| s.0)
    }

    #[test]
    fn durations_read_as_written() {
        for (text, millis) in [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("24h", 86_400_000), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(DurationText(Duration::from_secs(86_400)).to_string(), "1d");
        assert_eq!(DurationText(Duration::from_secs(90)).to_string(), "90s");
    }

    #[test]
    fn sizes_read_as_written() {
        for (text, bytes) in [("1024", 1024), ("64MiB", 64 << 20), ("500MB", 500_000_000), ("10gib", 10 << 30)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert_eq!(SizeText(500_000_000).to_string(), "500MB");
        assert_eq!(SizeText(1025).to_string(), "1025");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for bad in ["", "s", "-1s", "1.5h", "1h30m", "30", "30 s", "30S", "30sec", "99999999999999999999s", "٣s"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
        assert_eq!(duration(&format!("{}d", u64::MAX)), Err(UnitError::TooLarge));
        for bad in ["", "GiB", "-1", "1.5GiB", "10G", "10 GiB", "0x10", "18446744073709551616"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
        assert_eq!(size("99999999999TiB"), Err(UnitError::TooLarge));
    }

    proptest! {
        #[test]
        fn durations_round_trip(millis in any::<u64>()) {
            let value = DurationText(Duration::from_millis(millis));
            prop_assert_eq!(value.to_string().parse::<DurationText>(), Ok(value));
        }

        #[test]
        fn durations_in_one_unit_round_trip(number in 0u64..1_000_000, unit in 0..DURATION_UNITS.len()) {
            let (name, millis) = DURATION_UNITS[unit];
            let value: DurationText = format!("{number}{name}").parse().unwrap();
            prop_assert_eq!(value.0, Duration::from_millis(number * millis));
            prop_assert_eq!(value.to_string().parse::<DurationText>(), Ok(value));
        }

        #[test]
        fn sizes_round_trip(bytes in any::<u64>(), unit in 0..SIZE_UNITS.len(), number in 0u64..10_000) {
            let odd = SizeText(bytes);
            prop_assert_eq!(odd.to_string().parse::<SizeText>(), Ok(odd));
            let even = SizeText(number * SIZE_UNITS[unit].1);
            prop_assert_eq!(even.to_string().parse::<SizeText>(), Ok(even));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,24}") {
            let _ = (duration(&text), size(&text));
        }
    }
}
