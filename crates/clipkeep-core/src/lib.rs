//! clipkeep's rules: what a clip, a link, a range, a webhook *is*.
//!
//! Pure on purpose. No sockets, no files, no async runtime, no clock, no
//! randomness: everything that varies is handed in. The crate's manifest keeps
//! that promise, because it depends on nothing that could break it.

pub mod generation;
pub mod hook;
pub mod id;
pub mod media_type;
pub mod policy;
pub mod probe;
pub mod prompt;
pub mod secret;
pub mod sniff;
pub mod state;
pub mod time;
