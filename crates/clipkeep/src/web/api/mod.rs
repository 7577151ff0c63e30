//! `/api/v1/…`: thin resources over the catalogue, and their OpenAPI.

pub(super) mod clips;
pub(super) mod costs;
pub(super) mod duplicates;
pub(super) mod events;
pub(super) mod export;
pub(super) mod generations;
pub(super) mod lineage;
pub(super) mod links;
pub(super) mod query;
pub(super) mod receipts;
pub(super) mod revocations;
pub(super) mod risk;
mod submit;
pub(super) mod tokens;
pub(super) mod usage;

use crate::dto as model;
pub use clips::HistoryRow;
pub use duplicates::DuplicateRow;
pub use tokens::TokenRow;
