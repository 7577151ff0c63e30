//! fal.ai's webhooks: who sent it (`verify`), and what it says (`decode`). And
//! its queue, for webhooks that never came: where a generation is asked for
//! (`queue`), and what the answer says.

mod decode;
mod queue;
mod verify;

pub use decode::{DecodeError, Decoded, decode, fetched};
pub use queue::{Stage, generation_path, result_stage, status_stage};
pub use verify::{HookError, SignedHeaders, Verified, verify};
