//! What the world is told of news.

use clipkeep_core::{
    event::{Event, EventType},
    generation::{Clip, Generation},
    state::GenerationStatus,
    time::Timestamp,
};

/// That a generation failed, if it did.
pub(super) fn failed(row: &Generation, at: Timestamp) -> Option<Event> {
    (row.status == GenerationStatus::Failed).then(|| Event {
        kind: EventType::GenerationFailed,
        at,
        provider: row.provider.clone(),
        request_id: row.request_id.clone(),
        key: None,
        detail: row.error.clone(),
    })
}

/// Something about a clip.
pub(super) fn about(clip: &Clip, kind: EventType, at: Timestamp) -> Event {
    Event {
        kind,
        at,
        provider: clip.provider.clone(),
        request_id: clip.request_id.clone(),
        key: Some(clip.key.clone()),
        detail: None,
    }
}
