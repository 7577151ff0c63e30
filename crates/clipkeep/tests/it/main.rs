//! clipkeep's integration tests: one binary.

#![expect(clippy::unwrap_used, reason = "tests")]

mod browser;
mod cached;
mod catalog;
mod cli;
mod cold;
mod crash;
mod delivery;
mod fill;
mod hooks;
mod https;
mod leaks;
mod matrix;
mod memory;
mod nodes;
mod slow;
mod smoke;
mod store;
mod support;
mod tidy;
mod upkeep;
