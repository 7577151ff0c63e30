//! The configured rules for what a catalogue writes down.

use std::time::Duration;

use clipkeep_core::{
    generation::{Facts, Generation},
    hook::profile,
    input::Input,
    lifetime::SourceLifetimes,
    lineage::OwnUrls,
    policy::{Policies, Policy},
    prompt::MAX_PROMPT,
    state::GenerationStatus,
    time::Timestamp,
};

use super::merge::without_nul;

/// Whether prompts are kept as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prompts {
    /// Prompt and input are kept.
    #[default]
    Keep,
    /// Neither is: only the prompt's hash (`hash_only`).
    HashOnly,
}

/// The configured rules for what a catalogue writes down.
#[derive(Clone, Debug)]
pub struct Rules {
    pub policies: Policies,
    /// Whether prompts are kept as text.
    pub prompts: Prompts,
    /// How long after its registration the provider is asked for a generation.
    pub poll_after: Duration,
    /// What our own URLs look like in a model's input.
    pub own_urls: OwnUrls,
    /// How long sources live, where nobody says when one vanishes.
    pub lifetimes: SourceLifetimes,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            policies: Policies::default(),
            prompts: Prompts::Keep,
            poll_after: Duration::from_secs(60),
            own_urls: OwnUrls::default(),
            lifetimes: SourceLifetimes::default(),
        }
    }
}

/// When the provider is asked for a generation that is `row` now. One whose
/// result is known to be there is asked for at once.
pub(super) fn poll_at(rules: &Rules, known: Option<&Generation>, row: &Generation, at: Timestamp) -> Option<Timestamp> {
    let profile = profile(&row.provider);
    let can_ask = profile.is_some_and(|profile| (profile.can_ask)(row.facts.model.as_deref(), &row.request_id));
    // Its result may not wait for as long as is configured.
    let within = profile.and_then(|profile| profile.ask_within).unwrap_or(Duration::MAX);
    let same = known.filter(|known| known.status == row.status).and_then(|known| known.poll_at);
    match row.status {
        GenerationStatus::Completed | GenerationStatus::Failed => None,
        _ if !can_ask => None,
        GenerationStatus::Pending => same.or_else(|| Some(row.created_at.plus(rules.poll_after.min(within)))),
        GenerationStatus::ResultMissing => same.or(Some(at)),
        // Only its news knows whether asking helps: it says so by a time.
        GenerationStatus::Unreadable => same.or(row.poll_at),
    }
}

impl Rules {
    /// The facts as they may be written down.
    pub(super) fn storable(&self, facts: &Facts) -> Facts {
        let keep = self.prompts == Prompts::Keep;
        Facts {
            model: facts.model.as_deref().map(indexable),
            prompt: facts.prompt.as_deref().filter(|text| keep && text.len() <= MAX_PROMPT).map(without_nul),
            prompt_hash: facts.prompt_hash.as_deref().map(indexable),
            input: facts.input.as_ref().filter(|_| keep).map(Input::bounded),
            ..facts.clone()
        }
    }

    /// When a clip that was made at `made_at` is due without a viewer. A deferred
    /// one does not wait until its source is gone: half of its life is enough.
    pub(super) fn due_at(&self, policy: Policy, made_at: Timestamp, expires: Option<Timestamp>) -> Option<Timestamp> {
        let due = self.policies.due_at(policy, made_at)?;
        match expires {
            Some(expires) if policy == Policy::Deferred => Some(due.min(made_at.plus(expires.since(made_at) / 2))),
            _ => Some(due),
        }
    }
}

/// PostgreSQL cannot index long text, and a webhook must not fail for it: no
/// model's name and no hash comes near this length.
fn indexable(text: &str) -> String {
    const LONGEST: usize = 1024;
    without_nul(&text[..text.floor_char_boundary(LONGEST)])
}
