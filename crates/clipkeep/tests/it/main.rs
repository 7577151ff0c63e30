//! clipkeep's integration tests: one binary.

#![expect(clippy::unwrap_used, reason = "tests")]

mod audience;
mod backlog;
mod browser;
mod budgets;
mod cached;
mod catalog;
mod cli;
mod clients;
pub(crate) mod cold;
mod costs;
mod crash;
mod day;
mod delivery;
mod explain;
mod fill;
mod hooks;
mod http10;
mod https;
mod import;
mod leaks;
mod marked;
mod matrix;
mod memory;
mod nodes;
mod openapi;
mod operations;
mod outbox;
mod pooler;
mod postgres_tls;
mod provenance;
mod providers;
mod proxy;
mod receipts;
mod schema;
mod signing;
mod slow;
mod smoke;
mod store;
mod support;
mod sweep;
mod tenants;
mod tidy;
mod tolerant;
mod upkeep;
mod usage;
