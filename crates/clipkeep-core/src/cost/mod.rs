//! What clips cost: quantities times prices, exactly.

mod budget;
pub mod calendar;
mod list;
mod money;
pub mod storage;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::{
    budget::{Budget, BudgetFor, THRESHOLDS, budgets_of},
    list::{EgressBasis, PriceList, PriceListError, is_currency},
    money::{Money, MoneyError},
};
use crate::policy::glob;

/// What there is to pay for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantities {
    /// Bytes times seconds for which they were stored, by the length of the
    /// month in seconds.
    pub byte_secs: BTreeMap<u64, u128>,
    /// Bytes that viewers got.
    pub viewer_bytes: u64,
    /// Requests to the bucket that write or list.
    pub writes: u64,
    /// Requests to the bucket that read.
    pub reads: u64,
    pub generation: Money,
}

impl Quantities {
    /// Bytes were stored for a while, in a month of so many seconds.
    pub fn store(&mut self, month_secs: u64, byte_secs: u128) {
        *self.byte_secs.entry(month_secs).or_default() += byte_secs;
    }

    /// Bytes times hours.
    pub fn byte_hours(&self) -> u128 {
        self.byte_secs.values().sum::<u128>() / 3600
    }
}

/// What it comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Keeping bytes.
    pub storage: Money,
    pub egress: Money,
    /// Requests to the bucket.
    pub operations: Money,
    pub generation: Money,
}

impl Cost {
    /// All of it.
    pub fn total(&self) -> Money {
        self.storage + self.egress + self.operations + self.generation
    }

    /// This and, for the `left` of a time, as much as `lately` cost in `span`; but
    /// for `storage`, which is what it will come to in all.
    #[must_use]
    pub fn forecast(&self, lately: &Self, left: u64, span: u64, storage: Money) -> Self {
        let go_on = |now: Money, rate: Money| now + rate.times(left.into(), span.into());
        Self {
            storage,
            egress: go_on(self.egress, lately.egress),
            operations: go_on(self.operations, lately.operations),
            generation: go_on(self.generation, lately.generation),
        }
    }
}

/// What a generation of some models costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationPrice {
    /// A model pattern (`*` stands for any run of characters).
    pub model: String,
    pub price: Money,
    /// Whether that is for a second of its clips, or else for a generation.
    pub per_second: bool,
}

/// What generations cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenerationPrices {
    /// What the amounts are in, such as `USD`.
    pub currency: String,
    /// The prices; the first that fits counts.
    pub prices: Vec<GenerationPrice>,
}

/// What this many generations of `model`, whose clips are so long in all, cost;
/// the first price that fits counts.
pub fn generation_cost(prices: &GenerationPrices, model: &str, generations: u64, millis: u64) -> Money {
    match prices.prices.iter().find(|price| glob(&price.model, model)) {
        Some(GenerationPrice { price, per_second: true, .. }) => price.times(millis.into(), 1000),
        Some(GenerationPrice { price, .. }) => price.times(generations.into(), 1),
        None => Money::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn the_worked_example_comes_out() {
        let lists = PriceList::built_in();
        let (s3, r2) = (&lists[0], &lists[1]);
        // A thousand clips of 15 MB, for any month.
        for days in [28, 30, 31] {
            let secs = days * 86_400;
            let mut stored = Quantities::default();
            stored.store(secs, 1000 * 15_000_000 * u128::from(secs));
            assert_eq!(s3.charge(&stored).total(), money("0.345"));
            assert_eq!(r2.charge(&stored).total(), money("0.225"));
        }
        // One full play of each.
        let played = Quantities { viewer_bytes: 1000 * 15_000_000, ..Quantities::default() };
        assert_eq!(s3.charge(&played).total(), money("1.35"));
        assert_eq!(s3.charge(&played).total().percent_of(money("0.345")), Some(391), "3.9 times that");
        assert_eq!(r2.charge(&played).total(), Money::ZERO);
    }

    #[test]
    fn operations_and_generations_are_charged() {
        let s3 = &PriceList::built_in()[0];
        let asked = Quantities { writes: 1000, reads: 10_000, ..Quantities::default() };
        assert_eq!(s3.charge(&asked).operations, money("0.009"));
        let prices = vec![
            GenerationPrice { model: "fal-ai/veo3*".into(), price: money("0.40"), per_second: true },
            GenerationPrice { model: "*".into(), price: money("0.05"), per_second: false },
        ];
        let prices = GenerationPrices { currency: "USD".into(), prices };
        assert_eq!(generation_cost(&prices, "fal-ai/veo3/fast", 2, 16_500), money("6.6"));
        assert_eq!(generation_cost(&prices, "other", 3, 16_500), money("0.15"));
        let first = GenerationPrices { prices: prices.prices[..1].to_vec(), ..prices };
        assert_eq!(generation_cost(&first, "other", 3, 0), Money::ZERO);
    }

    #[test]
    fn a_forecast_goes_on_at_the_rate_of_late() {
        let so_far = Cost { egress: money("10"), ..Cost::default() };
        let lately = Cost { egress: money("7"), storage: money("0.7"), ..Cost::default() };
        let month = so_far.forecast(&lately, 10 * 86_400, 7 * 86_400, money("1"));
        assert_eq!((month.egress, month.storage, month.generation), (money("20"), money("1"), Money::ZERO));
    }

    #[test]
    fn a_list_that_is_not_right_is_refused() {
        let right = include_str!("lists/cloudflare_r2.toml");
        assert!(PriceList::parse(right).is_ok());
        for (a, b) in [
            ("\"0.015\"", "0.015"),
            ("\"0.015\"", "\"cheap\""),
            ("gb_bytes = 1000000000", "gb_bytes = 0"),
            ("viewer_bytes", "bucket_bytes"),
            ("currency = \"USD\"\n", ""),
            ("currency", "curency"),
            ("\"USD\"", "\"usd\""),
        ] {
            assert!(PriceList::parse(&right.replace(a, b)).is_err(), "{b}");
        }
    }
}
