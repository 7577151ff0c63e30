//! clipkeep: keeps AI video. See ARCHITECTURE.md for the map.

pub mod catalog;
pub mod config;
pub mod keys;
