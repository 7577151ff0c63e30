//! When a clip starts over from another source, and what of it is forgotten.

use clipkeep_core::{
    generation::{Clip, NewClip},
    secret::SourceUrl,
    state::ClipState,
    time::Timestamp,
};

use super::{merge::without_nul, requeue::return_delay};

/// What becomes of a known clip when this is said to be its source: the word for
/// its history, if it starts over.
pub(super) fn announced_again(
    known: &mut Clip,
    new: &NewClip,
    source_url: SourceUrl,
    expires_at: Option<Timestamp>,
    at: Timestamp,
) -> Option<&'static str> {
    if is_replaced(known, &source_url) {
        restart(known, new, source_url, at);
        known.source_expires_at = expires_at;
        return Some("source_replaced");
    }
    comes_back(known, &source_url).then(|| {
        come_back(known, at);
        "returned"
    })
}

/// Whether a clip starts over when this is said to be its source.
fn is_replaced(known: &Clip, source_url: &SourceUrl) -> bool {
    match known.state {
        ClipState::Stored | ClipState::Deleted => false,
        // The provider may still write into our own store, or its bytes are there.
        ClipState::Waiting | ClipState::Filling if !known.source_url.has_url() => false,
        // Said again: it is there now.
        ClipState::Lost | ClipState::Rejected if !source_url.has_url() => true,
        _ => known.source_url != *source_url,
    }
}

/// Whether a clip that is over is tried again when the same is said to be its
/// source once more. One that takes its nodes with it is not.
fn comes_back(known: &Clip, source_url: &SourceUrl) -> bool {
    let is_over = matches!(known.state, ClipState::Lost | ClipState::Rejected);
    is_over && known.source_url == *source_url && known.vanished == 0
}

/// Starts a clip over from the same source; the later the more often it came
/// back by that.
fn come_back(clip: &mut Clip, at: Timestamp) {
    start_over(clip, at);
    clip.due_at = Some(at.plus(return_delay(clip.returned)));
    clip.returned = clip.returned.saturating_add(1);
}

/// Starts a clip over from another source.
fn restart(clip: &mut Clip, new: &NewClip, source_url: SourceUrl, at: Timestamp) {
    start_over(clip, at);
    clip.slot = without_nul(&new.slot);
    clip.source_url = source_url;
    clip.kind = new.kind;
    clip.content_type = without_nul(&new.content_type);
    clip.returned = 0;
}

fn start_over(clip: &mut Clip, at: Timestamp) {
    clip.state = ClipState::Waiting;
    clip.sealed = None;
    clip.epoch = clip.epoch.saturating_add(1);
    clip.due_at = Some(at);
    clip.attempts = 0;
    clip.misses = 0;
    clip.vanished = 0;
    clip.version = None;
    clip.view = None;
    clip.served_type = None;
    clip.last_error = None;
    clip.restarted_at = Some(at);
}
