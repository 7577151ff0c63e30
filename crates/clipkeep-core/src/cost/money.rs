//! Money: exact decimal, in whole attos (10⁻¹⁸) of the currency's unit.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign},
    str::FromStr,
};

use serde::{Serialize, Serializer};

/// How many decimals there are.
const DECIMALS: usize = 18;
const UNIT: i128 = 10_i128.pow(18);
/// The largest amount that is understood.
const MOST: i128 = 1_000_000_000_000;

/// An amount of money, never negative. Prints exactly, with two decimals at
/// least; only [`Money::rounded`] rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(i128);

/// The text is no amount.
#[derive(Debug, thiserror::Error)]
#[error("not an amount such as 0.023")]
pub struct MoneyError;

impl Money {
    pub const ZERO: Self = Self(0);

    /// This price for `quantity` pieces of which `per` cost that much. What is
    /// below an atto is dropped.
    #[must_use]
    pub fn times(self, quantity: u128, per: u128) -> Self {
        let per = per.max(1);
        let price = self.0.unsigned_abs();
        // In two steps, so that the product fits: the rest is less than `per`.
        let whole = (quantity / per).saturating_mul(price);
        let rest = (quantity % per).saturating_mul(price) / per;
        Self(i128::try_from(whole.saturating_add(rest)).unwrap_or(i128::MAX))
    }

    /// For people: half up, to two decimals; to the first two digits that are
    /// not zero where it is less than a cent.
    pub fn rounded(self) -> String {
        let mut decimals = 2;
        while decimals < 8 && self.0 > 0 && self.0 < 10_i128.pow(DECIMALS as u32 - decimals + 1) {
            decimals += 1;
        }
        let text = self.with_decimals(if self.0 >= UNIT / 100 { 2 } else { decimals });
        // What is less than all of these decimals is nothing to people.
        if text.bytes().any(|digit| matches!(digit, b'1'..=b'9')) { text } else { "0.00".to_owned() }
    }

    /// So many attos; as many as fit.
    pub fn from_attos(attos: u128) -> Self {
        Self(i128::try_from(attos).unwrap_or(i128::MAX))
    }

    pub const fn attos(self) -> u128 {
        self.0.unsigned_abs()
    }

    /// Half up, to whole cents.
    pub fn cents(self) -> i128 {
        (self.0 + UNIT / 200) / (UNIT / 100)
    }

    /// How many hundredths of `other` this is, rounded down; none of nothing.
    pub fn percent_of(self, other: Self) -> Option<i128> {
        (other.0 > 0).then(|| self.0.saturating_mul(100) / other.0)
    }

    fn with_decimals(self, decimals: u32) -> String {
        let step = 10_i128.pow(DECIMALS as u32 - decimals);
        let rounded = (self.0 + step / 2) / step;
        let (unit, places) = (10_i128.pow(decimals), decimals as usize);
        format!("{}.{:0places$}", rounded / unit, rounded % unit)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:0DECIMALS$}", self.0 % UNIT);
        let kept = decimals.trim_end_matches('0').len().max(2);
        write!(f, "{}.{}", self.0 / UNIT, &decimals[..kept])
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > DECIMALS {
            return Err(MoneyError);
        }
        let whole: i128 = whole.parse().map_err(|_| MoneyError)?;
        let decimals: i128 = format!("{decimals:0<DECIMALS$}").parse().map_err(|_| MoneyError)?;
        if whole > MOST { Err(MoneyError) } else { Ok(Self(whole * UNIT + decimals)) }
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_survive_their_trip_and_nonsense_is_refused() {
        for (text, printed) in
            [("0", "0.00"), ("0.023", "0.023"), ("12", "12.00"), ("0.000000000000000001", "0.000000000000000001")]
        {
            assert_eq!(money(text).to_string(), printed);
        }
        for bad in ["", "-1", "+1", "1,5", "1.", ".5", "1e3", "0.0000000000000000001", "1000000000001", "NaN"] {
            assert!(bad.parse::<Money>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_lost_on_the_way() {
        // Ten times a tenth is one, as it is not in binary.
        assert_eq!((0..10).map(|_| money("0.1")).sum::<Money>(), money("1"));
        assert_eq!(money("0.09").times(15_000_000_000, 1_000_000_000), money("1.35"));
        // An exabyte for a month.
        assert_eq!(money("0.023").times(10_u128.pow(18) * 2_592_000, 10_u128.pow(9) * 2_592_000), money("23000000"));
        assert_eq!(money("1").times(1, 3).to_string(), "0.333333333333333333");
    }

    #[test]
    fn only_what_people_read_is_rounded() {
        for (exact, rounded) in
            [("0.345", "0.35"), ("1.35", "1.35"), ("0.000345", "0.00035"), ("0", "0.00"), ("9.995", "10.00")]
        {
            assert_eq!(money(exact).rounded(), rounded, "{exact}");
        }
        assert_eq!((money("0.345").cents(), money("0.3449").cents()), (35, 34));
    }
}
