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
        generation: Some((row.provider.clone(), row.request_id.clone())),
        key: None,
        detail: row.error.clone(),
        tenant: None,
    })
}

/// Something about a clip.
pub(super) fn about(clip: &Clip, kind: EventType, at: Timestamp) -> Event {
    Event {
        kind,
        at,
        generation: Some((clip.provider.clone(), clip.request_id.clone())),
        key: Some(clip.key.clone()),
        detail: None,
        tenant: None,
    }
}
