//! What the tests stand on.

pub(crate) mod app;
pub(crate) mod garage;
pub(crate) mod postgres;
