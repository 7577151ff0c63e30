//! What is known of each provider without asking it: one line a provider.

use std::time::Duration;

use super::{fal, replicate};
use crate::id::{Provider, RequestId};

/// What is known of a provider without asking it.
#[derive(Debug)]
pub struct Profile {
    /// Its name, as in `/hooks/{name}`.
    pub name: &'static str,
    /// Whether it can be asked for a generation of this model.
    pub can_ask: fn(model: Option<&str>, request_id: &RequestId) -> bool,
    /// How long its sources live, where it says so.
    pub source_lifetime: Option<Duration>,
    /// Its results do not wait for long: it is asked at least so often, whatever
    /// is configured.
    pub ask_within: Option<Duration>,
}

/// The providers that have a way of their own.
const PROFILES: &[&Profile] = &[&fal::PROFILE, &replicate::PROFILE];

/// What is known of this provider, if it has a way of its own.
pub fn profile(provider: &Provider) -> Option<&'static Profile> {
    PROFILES.iter().copied().find(|profile| profile.name == provider.as_str())
}

/// Whether the name is one that no webhook may claim unless its key is for just
/// that: a provider with a way of its own, or what stands for none.
pub(super) fn is_reserved(provider: &Provider) -> bool {
    profile(provider).is_some() || *provider == Provider::adopted()
}
