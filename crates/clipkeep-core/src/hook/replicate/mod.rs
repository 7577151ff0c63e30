//! Replicate: its predictions, as its webhooks and its API tell of them. Its
//! webhooks are signed as Standard Webhooks are.

mod decode;

pub use decode::{decode, fetched};

use std::time::Duration;

use crate::hook::Profile;

/// What is known of Replicate without asking it: outputs of predictions that
/// were made by API are removed after an hour, and a webhook that is not taken
/// comes no more a minute after its prediction ended.
pub(super) const PROFILE: Profile = Profile {
    name: "replicate",
    // A prediction is asked for by its id alone, which may not lead elsewhere.
    can_ask: |_, request_id| !request_id.as_str().bytes().all(|byte| byte == b'.'),
    source_lifetime: Some(Duration::from_secs(3600)),
    ask_within: Some(Duration::from_secs(60)),
};
