//! clipkeep's rules: what a clip, a link, a range, a webhook *is*.
//!
//! Pure on purpose. No sockets, no files, no async runtime, no clock, no
//! randomness: everything that varies is handed in. The crate's manifest keeps
//! that promise, because it depends on nothing that could break it.

pub mod address;
pub mod backoff;
pub mod c2pa;
pub mod config;
pub mod cost;
pub mod csv;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod event_id;
pub mod expected;
pub mod extents;
pub mod generation;
pub mod history;
pub mod hook;
pub mod human;
pub mod id;
pub mod input;
pub mod lifetime;
pub mod lineage;
pub mod link;
pub mod media_type;
pub mod name;
mod percent;
pub mod policy;
pub mod printable;
pub mod probe;
pub mod problem;
pub mod prompt;
pub mod proxy;
pub mod receipt;
pub mod request_mode;
pub mod retention;
pub mod search;
pub mod secret;
pub mod seed;
pub mod sniff;
pub mod standard_webhook;
pub mod state;
pub mod time;
pub mod token;
pub mod usage;
pub mod verdict;
pub mod version;
pub mod view;
