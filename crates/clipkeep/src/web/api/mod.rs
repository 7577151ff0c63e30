//! `/api/v1/…`: thin resources over the catalogue, and their OpenAPI.

pub(super) mod clips;
pub(super) mod generations;
pub(super) mod links;
mod model;
mod query;

pub use clips::HistoryRow;
pub use model::{ClipRow, GenerationRow};
