//! fal.ai's webhooks: who sent it (`verify`), and what it says (`decode`).

mod decode;
mod verify;

pub use decode::{DecodeError, Decoded, decode};
pub use verify::{HookError, SignedHeaders, Verified, verify};
