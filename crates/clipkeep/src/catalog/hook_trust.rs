//! What a webhook tells of its generation, and when that counts. Providers sign the body
//! alone: whoever has seen a webhook can send it again to a URL of his own.

use std::borrow::Cow;

use clipkeep_core::{
    generation::{Facts, Generation, HookRecord, Origin},
    state::GenerationStatus,
};

use super::merge::{GenerationId, MergeBatch, is_of};

impl MergeBatch<'_> {
    /// The webhook as it is believed. Its query counts with the delivery that
    /// makes the generation known, or ends it: a provider's retry says the same
    /// again, and a stranger's may say anything.
    pub(super) fn trusted_hook<'a>(&self, id: &GenerationId, hook: &'a HookRecord) -> Cow<'a, HookRecord> {
        let is_open = |known: &Generation| known.status == GenerationStatus::Pending;
        let ends = hook.status != GenerationStatus::Pending;
        match self.generations.get(id) {
            Some((known, _)) if !(ends && is_open(known)) => self.unopened(id, known, hook),
            _ => Cow::Owned(hook.clone().believed()),
        }
    }

    /// The webhook without what would open clips that are there: of a generation
    /// that ended without a word on it, one more delivery does not make them
    /// public. A registration may.
    fn unopened<'a>(&self, id: &GenerationId, known: &Generation, hook: &'a HookRecord) -> Cow<'a, HookRecord> {
        let opens = hook.origin == Origin::Webhook && hook.facts.public == Some(true) && known.facts.public.is_none();
        let is_over = known.status != GenerationStatus::Pending;
        if !(opens && is_over && self.clips.values().any(|(clip, _)| is_of(clip, id))) {
            return Cow::Borrowed(hook);
        }
        Cow::Owned(HookRecord { facts: Facts { public: None, ..hook.facts.clone() }, ..hook.clone() })
    }
}
