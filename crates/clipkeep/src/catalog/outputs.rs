//! What a result's outputs are to what is known of its generation: which clips
//! they are, and what is kept of those that were not understood.

use clipkeep_core::{
    generation::{HookRecord, NewClip, Origin},
    hook::payload,
    input::Input,
    state::{ClipState, GenerationStatus},
};

use super::{
    merge::{GenerationChange, GenerationId, MergeBatch, is_of},
    rules::Prompts,
    unreads::UnreadResult,
};

impl MergeBatch<'_> {
    /// The outputs of a result under their names, without those that were put in.
    /// What an import or the store tells of has its names already.
    pub(super) fn outputs(&self, id: &GenerationId, hook: &HookRecord) -> Vec<NewClip> {
        let known: Vec<_> = self.clips.values().map(|(clip, _)| clip).filter(|clip| is_of(clip, id)).collect();
        if hook.clips.is_empty() || matches!(hook.origin, Origin::Import | Origin::Store) {
            // One that has another name by now is nobody else's.
            let was_told = |new: &&NewClip| known.iter().any(|clip| clip.was_key.as_ref() == Some(&new.key));
            return hook.clips.iter().filter(|new| !was_told(new)).cloned().collect();
        }
        let input = self.generations.get(id).and_then(|(row, _)| row.facts.input.as_ref());
        let own = |clip: &&NewClip| !self.rules.own_urls.is_own(clip.source_url.expose());
        let told: Vec<NewClip> = hook.clips.iter().filter(own).cloned().collect();
        let input = hook.facts.input.as_ref().or(input).map(Input::value);
        payload::named(&told, &known, input.as_ref(), &id.1)
    }

    /// Keeps what of a result was not understood, for as long as that is so.
    pub(super) fn keep_unread(
        &mut self,
        id: &GenerationId,
        hook: &HookRecord,
        was: Option<GenerationStatus>,
        told: bool,
    ) {
        let is_forgotten = self.is_forgotten(id);
        let hash_only = self.rules.prompts == Prompts::HashOnly;
        let Some((row, mark)) = self.generations.get_mut(id) else { return };
        let is_unreadable = row.status == GenerationStatus::Unreadable;
        // Whoever asked has all that there is to be had.
        let was_asked = matches!(hook.origin, Origin::Poll | Origin::Proxy | Origin::Reread | Origin::Nobody);
        if is_unreadable && was_asked && row.poll_at.take().is_some() && *mark == GenerationChange::Unchanged {
            *mark = GenerationChange::Changed;
        }
        match &hook.unread {
            Some(unread) if is_unreadable && (told || was_asked) => {
                let mut unread = if hash_only { unread.without_texts() } else { (**unread).clone() };
                if is_forgotten {
                    unread.payload.clear();
                }
                self.unread.insert(id.clone(), Some(UnreadResult { at: hook.received_at, unread }));
            }
            _ if was == Some(GenerationStatus::Unreadable) && !is_unreadable => {
                drop(self.unread.insert(id.clone(), None))
            }
            _ => {}
        }
    }

    /// Whether one of its clips is deleted and none is kept or may still come: then
    /// its text is gone, and no late news brings it back.
    pub(super) fn is_forgotten(&self, id: &GenerationId) -> bool {
        let states = || self.clips.values().filter(|(clip, _)| is_of(clip, id)).map(|(clip, _)| clip.state);
        let lives = |state| matches!(state, ClipState::Waiting | ClipState::Filling | ClipState::Stored);
        states().any(|state| state == ClipState::Deleted) && !states().any(lives)
    }
}
