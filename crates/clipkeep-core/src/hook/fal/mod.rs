//! fal.ai's webhooks: who sent it (`verify`), and what it says (`decode`). And
//! its queue, for webhooks that never came: where a generation is asked for
//! (`queue`), and what the answer says.

mod decode;
pub(crate) mod path;
mod queue;
mod verify;

pub use decode::{decode, fetched, refusal};
pub use queue::{Stage, generation_path, result_stage, status_stage, submit_target};
pub use verify::{HookError, SignedHeaders, Verified, verify};

use crate::hook::Profile;

/// What is known of fal without asking it. How long its sources live depends on
/// the account.
pub(super) const PROFILE: Profile = Profile {
    name: "fal",
    can_ask: |model, request_id| model.is_some_and(|model| generation_path(model, request_id).is_some()),
    source_lifetime: None,
    ask_within: None,
};
