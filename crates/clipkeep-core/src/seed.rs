//! The seed that a generation was made with.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A seed: a whole number from -2^63 to 2^64 - 1, kept exactly. Models draw
/// theirs from either range of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seed(i128);

/// The text is no seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no whole number from -9223372036854775808 to 18446744073709551615")]
pub struct SeedError;

/// How far whole numbers are exact as a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Seed {
    const LEAST: i128 = i64::MIN as i128;
    const MOST: i128 = u64::MAX as i128;

    /// Reads a JSON number as it is written. `42.0` and `1e3` are whole numbers,
    /// too, as far as a double is exact; what is none, or too large, is no seed.
    pub fn of_json(number: &str) -> Option<Self> {
        number.parse().ok().or_else(|| number.parse().ok().and_then(Self::of_double))
    }

    fn of_double(double: f64) -> Option<Self> {
        let is_whole = double.fract() == 0.0 && double.abs() <= EXACT;
        is_whole.then_some(Self(double as i128))
    }

    /// The number itself.
    pub const fn get(self) -> i128 {
        self.0
    }

    /// The seed in two columns of 64 bits that sort as the seeds do: the number
    /// as far as `i64` goes, and how far it is beyond 2^63, if it is.
    pub fn columns(self) -> (i64, Option<i64>) {
        match i64::try_from(self.0) {
            Ok(number) => (number, None),
            Err(_) => (i64::MAX, i64::try_from(self.0 - (1 << 63)).ok()),
        }
    }

    /// The seed of these columns; `None` if no seed makes them.
    pub fn of_columns(number: i64, beyond: Option<i64>) -> Option<Self> {
        match beyond {
            None => Some(Self(number.into())),
            Some(beyond) if number == i64::MAX && beyond >= 0 => Some(Self(i128::from(beyond) + (1 << 63))),
            Some(_) => None,
        }
    }
}

impl From<i64> for Seed {
    fn from(number: i64) -> Self {
        Self(number.into())
    }
}

impl From<u64> for Seed {
    fn from(number: u64) -> Self {
        Self(number.into())
    }
}

impl FromStr for Seed {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, SeedError> {
        let number = text.parse().map_err(|_| SeedError)?;
        (Self::LEAST..=Self::MOST).contains(&number).then_some(Self(number)).ok_or(SeedError)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (i64::try_from(self.0), u64::try_from(self.0)) {
            (Ok(number), _) => serializer.serialize_i64(number),
            (_, Ok(number)) => serializer.serialize_u64(number),
            _ => unreachable!("a seed is checked when it is made"),
        }
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SeedVisitor)
    }
}

struct SeedVisitor;

impl de::Visitor<'_> for SeedVisitor {
    type Value = Seed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from -9223372036854775808 to 18446744073709551615")
    }

    fn visit_i64<E>(self, number: i64) -> Result<Seed, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Seed, E> {
        Ok(number.into())
    }

    // `42.0`, as languages write it that have doubles alone.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Seed, E> {
        Seed::of_double(number).ok_or_else(|| E::custom(SeedError))
    }

    // A query's values are texts.
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Seed, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(text: &str) -> Seed {
        text.parse().unwrap()
    }

    #[test]
    fn k15_all_64_bits_of_either_sort_are_kept_exactly() {
        for text in [
            "0",
            "-7",
            "-9223372036854775808",
            "9223372036854775807",
            "9223372036854775808",
            "13835058055282163712",
            "18446744073709551615",
        ] {
            let seed = seed(text);
            assert_eq!((seed.to_string().as_str(), serde_json::to_string(&seed).unwrap().as_str()), (text, text));
            assert_eq!(serde_json::from_str::<Seed>(text).unwrap(), seed);
            let (number, beyond) = seed.columns();
            assert_eq!(Seed::of_columns(number, beyond), Some(seed), "{text}");
        }
    }

    #[test]
    fn k15_columns_sort_as_seeds_do() {
        let mut seeds = ["18446744073709551615", "-1", "9223372036854775808", "9223372036854775807", "5"].map(seed);
        seeds.sort_by_key(|seed| seed.columns());
        assert_eq!(
            seeds.map(|seed| seed.to_string()),
            ["-1", "5", "9223372036854775807", "9223372036854775808", "18446744073709551615"]
        );
        assert_eq!((Seed::of_columns(5, Some(0)), Seed::of_columns(i64::MAX, Some(-1))), (None, None));
    }

    #[test]
    fn k15_what_is_no_seed_is_none() {
        for text in ["", "x", "1.5", "18446744073709551616", "-9223372036854775809", "1e3", " 1"] {
            assert_eq!(text.parse::<Seed>(), Err(SeedError), "{text}");
        }
        let json = |text| Seed::of_json(text).map(|seed| seed.to_string());
        assert_eq!((json("42.0").as_deref(), json("1e3").as_deref()), (Some("42"), Some("1000")));
        assert_eq!((json("18446744073709551615").as_deref(), json("1.5")), (Some("18446744073709551615"), None));
        assert_eq!(serde_json::from_str::<Seed>("42.0").unwrap(), seed("42"), "d13");
        assert!(serde_json::from_str::<Seed>("1.5").is_err() && serde_json::from_str::<Seed>("1e30").is_err());
        assert_eq!((json("1e300"), json("18446744073709551616"), json("NaN")), (None, None, None));
    }
}
