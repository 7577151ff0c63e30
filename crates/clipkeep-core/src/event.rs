//! What an app, or another node, is told about.

use crate::{
    id::{ClipKey, Provider, RequestId},
    state::text_enum,
    time::Timestamp,
};

text_enum! {
    /// What happened.
    EventType {
        /// A clip is complete and confirmed in the store.
        ClipStored = "clip.stored",
        /// A clip's source is gone, and there is no copy.
        ClipLost = "clip.lost",
        /// A clip's only copy is its source, whose time runs out.
        ClipAtRisk = "clip.at_risk",
        /// A clip was deleted: whoever caches it must drop it.
        ClipDeleted = "clip.deleted",
        /// What came of a clip is no acceptable media.
        ClipRejected = "clip.rejected",
        /// A clip is served by other rules than before. For nodes alone.
        ClipRevised = "clip.revised",
        /// The provider says that a generation failed.
        GenerationFailed = "generation.failed",
    }
}

/// Something that became true, written down in the transaction that made it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: EventType,
    /// When.
    pub at: Timestamp,
    /// Of whose generation.
    pub provider: Provider,
    /// Of which generation.
    pub request_id: RequestId,
    /// Of which clip, if it is about one.
    pub key: Option<ClipKey>,
    /// Why.
    pub detail: Option<String>,
}

/// A place in the order of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The transaction, where several may write at once.
    pub tx: i64,
    /// The event's number.
    pub id: i64,
}
