//! What a hook URL's query tells, and when that counts. Providers sign the body
//! alone: whoever has seen a webhook can send it again to a URL of his own.

use std::borrow::Cow;

use clipkeep_core::{
    generation::{Generation, HookRecord},
    state::GenerationStatus,
};

use super::merge::{GenerationId, Ledger};

impl Ledger<'_> {
    /// The webhook as it is believed. Its query counts with the delivery that
    /// makes the generation known, or ends it: a provider's retry says the same
    /// again, and a stranger's may say anything.
    pub(super) fn heard<'a>(&self, id: &GenerationId, hook: &'a HookRecord) -> Cow<'a, HookRecord> {
        let is_open = |known: &Generation| known.status == GenerationStatus::Pending;
        let ends = hook.status != GenerationStatus::Pending;
        match self.generations.get(id) {
            Some((known, _)) if !(ends && is_open(known)) => Cow::Borrowed(hook),
            _ => Cow::Owned(hook.clone().believed()),
        }
    }
}
