//! When a clip starts over from another source, and what of it is forgotten.

use clipkeep_core::{
    generation::{Clip, NewClip},
    secret::SourceUrl,
    state::ClipState,
    time::Timestamp,
};

use super::merge::without_nul;

/// Whether a clip starts over when this is said to be its source.
pub(super) fn is_replaced(known: &Clip, source_url: &SourceUrl) -> bool {
    match known.state {
        ClipState::Stored | ClipState::Deleted => false,
        // The provider may still write into our own store.
        ClipState::Waiting | ClipState::Filling if known.source_url.is_own_store() => false,
        // Said again: it is there now.
        ClipState::Lost | ClipState::Rejected if source_url.is_own_store() => true,
        _ => known.source_url != *source_url,
    }
}

/// Starts a clip over from another source.
pub(super) fn restart(clip: &mut Clip, new: &NewClip, source_url: SourceUrl, at: Timestamp) {
    clip.state = ClipState::Waiting;
    clip.slot = without_nul(&new.slot);
    clip.source_url = source_url;
    clip.source_expires_at = new.source_expires_at;
    clip.kind = new.kind;
    clip.content_type = without_nul(&new.content_type);
    clip.sealed = None;
    clip.epoch = clip.epoch.saturating_add(1);
    clip.due_at = Some(at);
    clip.attempts = 0;
    clip.misses = 0;
    clip.version = None;
    clip.view = None;
    clip.served_type = None;
    clip.last_error = None;
    clip.restarted_at = Some(at);
}
