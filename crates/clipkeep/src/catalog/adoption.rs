//! Objects that were found in the store, of which their real provider tells
//! later: it takes them over, as they are.

use std::collections::BTreeSet;

use clipkeep_core::{
    generation::{Clip, Generation, NewClip},
    id::{ClipKey, Provider},
    secret::SourceUrl,
    state::ClipState,
    time::Timestamp,
};

use super::{
    CatalogError,
    merge::{GenerationChange, GenerationId, MergeBatch, NewHistoryEntry, is_of, merge, without_nul},
};

/// What the adopted provider's generation gives up to the real one.
#[derive(Debug, Default)]
pub(crate) struct Adoption {
    /// These clips are of another generation now.
    pub(super) clips: BTreeSet<ClipKey>,
    /// These generations are no more.
    pub(crate) generations: BTreeSet<GenerationId>,
}

/// The generation that stands for objects that were found under this id.
pub(super) fn found((_, request_id): &GenerationId) -> GenerationId {
    (Provider::adopted(), request_id.clone())
}

/// Whether news was refused because nobody had looked for what its generation
/// might take over.
pub(super) fn may_adopt(error: &CatalogError) -> bool {
    matches!(error, CatalogError::KeyTaken { provider, .. } if *provider == Provider::adopted())
}

impl MergeBatch<'_> {
    /// The clips that changed hands, as they are now.
    pub(crate) fn adopted_clips(&self) -> impl Iterator<Item = &Clip> {
        self.adoption.clips.iter().filter_map(|key| self.clips.get(key)).map(|(clip, _)| clip)
    }

    /// Gives a provider's generation what was found under its id; answers
    /// whether anything was.
    pub(super) fn adopt_found(&mut self, id: &GenerationId, at: Timestamp) -> bool {
        let found = found(id);
        if found == *id {
            return false;
        }
        let Some((news, _)) = self.generations.remove(&found) else { return false };
        let news = Generation { provider: id.0.clone(), poll_at: None, ..news };
        let (known, mark) = self.generations.entry(id.clone()).or_insert((news.clone(), GenerationChange::New));
        *known = merge(known, news);
        if *mark == GenerationChange::Unchanged {
            *mark = GenerationChange::Changed;
        }
        let facts = known.facts.clone();
        for (key, (clip, _)) in self.clips.iter_mut().filter(|(_, (clip, _))| is_of(clip, &found)) {
            clip.provider = id.0.clone();
            let detail = Some(id.0.to_string());
            self.history.push(NewHistoryEntry { key: key.clone(), at, event: "provider_known", detail });
            self.adoption.clips.insert(key.clone());
        }
        self.propagate_facts(id, &facts, at);
        self.adoption.generations.insert(found);
        true
    }

    /// Gives a stored clip that was adopted the URL at which its provider keeps it.
    pub(super) fn propagate_source(&mut self, new: &NewClip, expires_at: Option<Timestamp>) {
        let Some((clip, _)) = self.clips.get_mut(&new.key).filter(|_| self.adoption.clips.contains(&new.key)) else {
            return;
        };
        if clip.state == ClipState::Stored && !new.source_url.is_own_store() {
            clip.source_url = SourceUrl::new(without_nul(new.source_url.expose()));
            clip.slot = without_nul(&new.slot);
            clip.source_expires_at = expires_at;
        }
    }
}
