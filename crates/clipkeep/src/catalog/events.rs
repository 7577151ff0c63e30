//! What the world is told of news.

use clipkeep_core::{
    event::{Event, EventType},
    generation::{Clip, Generation},
    state::GenerationStatus,
    time::Timestamp,
};

/// That a generation failed, or that its result is not understood, if so.
pub(super) fn generation_ended(row: &Generation, at: Timestamp) -> Option<Event> {
    let kind = match row.status {
        GenerationStatus::Failed => EventType::GenerationFailed,
        GenerationStatus::Unreadable => EventType::GenerationUnreadable,
        GenerationStatus::Pending | GenerationStatus::ResultMissing | GenerationStatus::Completed => return None,
    };
    Some(Event {
        kind,
        at,
        generation: Some((row.provider.clone(), row.request_id.clone())),
        key: None,
        detail: row.error.clone(),
        tenant: None,
    })
}

/// Something about a clip.
pub(super) fn clip_event(clip: &Clip, kind: EventType, at: Timestamp) -> Event {
    Event {
        kind,
        at,
        generation: Some((clip.provider.clone(), clip.request_id.clone())),
        key: Some(clip.key.clone()),
        detail: None,
        tenant: None,
    }
}
