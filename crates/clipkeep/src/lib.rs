//! clipkeep: keeps AI video. See ARCHITECTURE.md for the map.

pub mod app;
pub mod cache;
pub mod callers;
pub mod catalog;
pub mod chain;
pub mod cli;
pub mod clock;
pub mod config;
pub mod faststart;
pub mod fill;
pub mod final_urls;
pub mod import;
pub mod jwks;
pub mod keys;
pub mod outbox;
pub mod provider;
mod receipts;
pub mod rows;
pub mod scratch;
pub mod shutdown;
pub mod source;
pub mod store;
pub mod sweep;
pub mod telemetry;
pub mod tls;
pub mod web;
