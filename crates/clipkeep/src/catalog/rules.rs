//! The configured rules for what a catalogue writes down.

use std::time::Duration;

use clipkeep_core::{
    generation::Generation, hook::fal, id::Provider, lineage::OwnUrls, policy::Policies, state::GenerationStatus,
    time::Timestamp,
};

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
    /// When clips are due.
    pub policies: Policies,
    /// Whether prompts are kept as text.
    pub prompts: Prompts,
    /// How long after its registration the provider is asked for a generation.
    pub poll_after: Duration,
    /// What our own URLs look like in a model's input.
    pub own_urls: OwnUrls,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            policies: Policies::default(),
            prompts: Prompts::Keep,
            poll_after: Duration::from_secs(60),
            own_urls: OwnUrls::default(),
        }
    }
}

/// When the provider is asked for a generation that is `row` now. One whose
/// result is known to be there is asked for at once.
pub(super) fn poll_at(rules: &Rules, known: Option<&Generation>, row: &Generation, at: Timestamp) -> Option<Timestamp> {
    let can_ask = row.provider == Provider::fal()
        && row.facts.model.as_deref().is_some_and(|model| fal::generation_path(model, &row.request_id).is_some());
    let same = known.filter(|known| known.status == row.status).and_then(|known| known.poll_at);
    match row.status {
        GenerationStatus::Completed | GenerationStatus::Failed => None,
        _ if !can_ask => None,
        GenerationStatus::Pending => same.or_else(|| Some(row.created_at.plus(rules.poll_after))),
        GenerationStatus::ResultMissing => same.or(Some(at)),
    }
}
