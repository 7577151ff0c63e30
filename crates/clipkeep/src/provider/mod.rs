//! Providers that can be asked: what became of a generation? And the way there
//! for what apps ask.
//!
//! Not the way in for webhooks, and not where clips are fetched from.

mod fal;
mod relay;

pub use fal::{Answer, AskError, FalQueue};
pub use relay::{FalRelay, Outgoing, RelayError, unanswered};
