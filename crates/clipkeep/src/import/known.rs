//! What the catalogue knows of some lines' generations.

use std::collections::HashMap;

use clipkeep_core::{
    generation::NewClip,
    hook::payload::MAX_CLIPS,
    id::{ClipKey, Provider, RequestId},
    secret::SourceUrl,
    state::ClipState,
    time::Timestamp,
};

use super::{
    entry::{Defaults, Entry},
    lines::Line,
    retry::with_retries,
};
use crate::catalog::{CatalogError, ClipSummary, Lookup};

/// The clips of the generations that a batch of lines names.
pub(super) struct Known(HashMap<RequestId, Vec<ClipSummary>>);

/// Where a line's clip is among them.
pub(super) enum Place {
    Known {
        slot: String,
    },
    /// It would be this one of its generation's.
    New {
        index: u32,
    },
    /// It cannot be taken, for this reason.
    Refused(String),
}

impl Known {
    /// Asks the catalogue.
    pub(super) async fn load(
        catalog: &(impl Lookup + ?Sized),
        generations: impl Iterator<Item = RequestId>,
    ) -> Result<Self, CatalogError> {
        let mut ids: Vec<RequestId> = generations.collect();
        ids.sort();
        ids.dedup();
        let mut known: HashMap<RequestId, Vec<ClipSummary>> = HashMap::new();
        for outline in with_retries(async || catalog.clip_summaries(&ids).await).await? {
            known.entry(outline.request_id.clone()).or_default().push(outline);
        }
        Ok(Self(known))
    }

    /// The clip at a URL of a generation.
    pub(super) fn clip(&self, request_id: &RequestId, url: &SourceUrl, provider: &Provider) -> Option<&ClipSummary> {
        let is_it = |clip: &&ClipSummary| clip.source_url == *url && clip.provider == *provider;
        self.0.get(request_id)?.iter().find(is_it)
    }

    /// The clip of a line, if it came to an end in vain.
    pub(super) fn over(&self, entry: &Entry, provider: &Provider) -> Option<ClipKey> {
        let clip = self.clip(&entry.request_id, &entry.url, provider)?;
        matches!(clip.state, ClipState::Lost | ClipState::Rejected).then(|| clip.key.clone())
    }

    /// Where a line of `provider` belongs. Another URL of a known generation
    /// is another clip of it: nothing that is known is replaced.
    pub(super) fn place(&self, request_id: &RequestId, url: &SourceUrl, provider: &Provider) -> Place {
        let clips = self.0.get(request_id).map_or(&[][..], Vec::as_slice);
        // What was found in the store is taken over by whoever knows of it.
        let is_other = |clip: &&ClipSummary| clip.provider != *provider && clip.provider != Provider::adopted();
        if let Some(other) = clips.iter().find(is_other) {
            return Place::Refused(format!("request_id: belongs to a generation of {}", other.provider));
        }
        if let Some(clip) = self.clip(request_id, url, provider) {
            return Place::Known { slot: clip.slot.clone() };
        }
        let own = clips.iter().filter(|clip| clip.provider == *provider);
        match own.map(|clip| clip.index + 1).max().unwrap_or(0) {
            index if index as usize >= MAX_CLIPS => {
                Place::Refused(format!("request_id: a generation has no more than {MAX_CLIPS} clips"))
            }
            index => Place::New { index },
        }
    }

    /// Takes note of a clip that is about to be committed, as far as [`Self::place`] needs it.
    pub(super) fn add(&mut self, request_id: &RequestId, defaults: &Defaults, clip: &NewClip, now: Timestamp) {
        self.0.entry(request_id.clone()).or_default().push(ClipSummary {
            key: clip.key.clone(),
            provider: defaults.provider.clone(),
            request_id: request_id.clone(),
            index: clip.index,
            slot: clip.slot.clone(),
            state: ClipState::Waiting,
            policy: defaults.policy,
            source_url: clip.source_url.clone(),
            due_at: None,
            attempts: 0,
            last_error: None,
            created_at: now,
            model: None,
            tenant: None,
        });
    }
}

/// The generations that lines name.
pub(super) fn generations(lines: &[Line]) -> impl Iterator<Item = RequestId> {
    lines.iter().filter_map(|line| Some(line.entry.as_ref().ok()?.request_id.clone()))
}
