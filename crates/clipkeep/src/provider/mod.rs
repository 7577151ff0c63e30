//! Providers that can be asked: what became of a generation?
//!
//! Not the way in for webhooks, and not where clips are fetched from.

mod fal;

pub use fal::{Answer, AskError, FalQueue};
