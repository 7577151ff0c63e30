//! `/api/v1/…`: thin resources over the catalogue, and their OpenAPI.

pub(super) mod clips;
pub(super) mod generations;
pub(super) mod links;
mod model;
mod query;
pub(super) mod risk;

pub use model::{ClipRow, GenerationRow};
