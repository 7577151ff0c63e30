//! Price lists: what a store's operator charges, as data.

use serde::Deserialize;

use super::{Cost, Quantities, money::Money};

/// What is charged as egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EgressBasis {
    /// Every byte that viewers get, as if it left the bucket for each of them.
    /// Where a node's cache answers, it is what the same would cost without.
    ViewerBytes,
}

/// A price list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceList {
    pub name: String,
    /// What its amounts are in, such as `USD`.
    pub currency: String,
    gb_bytes: u64,
    storage_per_gb_month: Money,
    egress_per_gb: Money,
    writes_per_million: Money,
    reads_per_million: Money,
}

/// The list cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PriceListError {
    /// It is not of the form that docs/costs.md shows.
    #[error("not a price list: {0}")]
    Form(String),
    /// An amount is none.
    #[error("{field}: not an amount such as \"0.023\"")]
    Amount { field: &'static str },
}

/// As it stands in the file. Amounts are text: a number would pass through
/// binary floating point.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    currency: String,
    gb_bytes: u64,
    storage_per_gb_month: String,
    egress_per_gb: String,
    #[expect(dead_code, reason = "there is but one, which the file must name")]
    egress_basis: EgressBasis,
    writes_per_million: String,
    reads_per_million: String,
}

/// Whether this names a currency, as ISO 4217 does: so that equal ones are equal
/// as text.
pub fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

impl PriceList {
    /// Reads a list.
    ///
    /// # Errors
    /// If the text is no list.
    pub fn parse(text: &str) -> Result<Self, PriceListError> {
        let written: Written =
            toml::from_str(text).map_err(|error| PriceListError::Form(error.message().to_owned()))?;
        let amount = |field, text: &str| text.parse().map_err(|_| PriceListError::Amount { field });
        if written.gb_bytes == 0 || written.name.is_empty() {
            return Err(PriceListError::Form("name and gb_bytes must not be empty or zero".to_owned()));
        }
        if !is_currency(&written.currency) {
            return Err(PriceListError::Form("currency must be three capital letters such as USD".to_owned()));
        }
        Ok(Self {
            storage_per_gb_month: amount("storage_per_gb_month", &written.storage_per_gb_month)?,
            egress_per_gb: amount("egress_per_gb", &written.egress_per_gb)?,
            writes_per_million: amount("writes_per_million", &written.writes_per_million)?,
            reads_per_million: amount("reads_per_million", &written.reads_per_million)?,
            name: written.name,
            currency: written.currency,
            gb_bytes: written.gb_bytes,
        })
    }

    /// The lists that clipkeep brings.
    ///
    /// # Panics
    /// Never: a test reads them.
    pub fn built_in() -> Vec<Self> {
        [include_str!("lists/aws_s3_standard.toml"), include_str!("lists/cloudflare_r2.toml")]
            .map(|text| Self::parse(text).expect("the lists that clipkeep brings are right"))
            .into()
    }

    pub fn charge(&self, quantities: &Quantities) -> Cost {
        let gb = u128::from(self.gb_bytes);
        let month = |(secs, bytes): (&u64, &u128)| self.storage_per_gb_month.times(*bytes, gb * u128::from(*secs));
        let million = |price: Money, count: u64| price.times(count.into(), 1_000_000);
        Cost {
            storage: quantities.byte_secs.iter().map(month).sum(),
            egress: self.egress_per_gb.times(quantities.viewer_bytes.into(), gb),
            operations: million(self.writes_per_million, quantities.writes)
                + million(self.reads_per_million, quantities.reads),
            generation: quantities.generation,
        }
    }
}
