//! The ways a lease ends, as data: what each writes into the row.

use clipkeep_core::{event::EventType, state::ClipState, time::Timestamp};

use super::{Fault, merge::without_nul};

/// An attempt at a fill that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub at: Timestamp,
    /// How many bytes it read from the source.
    pub bytes: u64,
}

impl Attempt {
    /// The bytes as a database takes them.
    pub(crate) fn bytes(self) -> i64 {
        i64::try_from(self.bytes).unwrap_or(i64::MAX)
    }
}

/// One way a lease ends.
#[derive(Debug)]
pub(crate) struct Ending {
    /// What is being done, for an error.
    pub(crate) doing: &'static str,
    /// The clip's state from now on.
    pub(crate) state: ClipState,
    /// When it happens, and what was read.
    pub(crate) attempt: Attempt,
    /// When the clip is due again.
    pub(crate) due: Option<Timestamp>,
    /// Why the attempt failed.
    pub(crate) why: Option<String>,
    /// How many misses it adds.
    pub(crate) misses: i64,
    /// How many attempts are not counted after all.
    pub(crate) uncounted: i64,
    /// The word for the history.
    pub(crate) event: &'static str,
    /// What the world is told, if anything.
    pub(crate) emits: Option<EventType>,
    /// The origin that no request may go to, if that is why.
    pub(crate) refused: Option<String>,
    /// Its bytes are another clip's object, for which somebody pays already.
    pub(crate) shares: bool,
}

impl Ending {
    /// The object is confirmed in the store.
    pub(crate) fn stored(attempt: Attempt) -> Self {
        Self {
            doing: "marking a clip stored",
            state: ClipState::Stored,
            attempt,
            due: None,
            why: None,
            misses: 0,
            uncounted: 0,
            event: "stored",
            emits: Some(EventType::ClipStored),
            refused: None,
            shares: false,
        }
    }

    /// The clip refers to an object that is in the store already.
    pub(crate) fn shared(attempt: Attempt) -> Self {
        Self { shares: true, ..Self::stored(attempt) }
    }

    /// The attempt failed; there will be another.
    pub(crate) fn retry(attempt: Attempt, due: Timestamp, fault: Fault, why: &str) -> Self {
        Self {
            doing: "putting a clip off",
            state: ClipState::Waiting,
            due: Some(due),
            misses: i64::from(fault == Fault::Source),
            event: "retry",
            emits: None,
            ..Self::failed(attempt, why)
        }
    }

    /// The node shuts down.
    pub(crate) fn release(attempt: Attempt) -> Self {
        Self {
            doing: "releasing a clip",
            state: ClipState::Waiting,
            due: Some(attempt.at),
            uncounted: 1,
            event: "released",
            emits: None,
            ..Self::stored(attempt)
        }
    }

    /// The source is gone.
    pub(crate) fn lost(attempt: Attempt, why: &str) -> Self {
        Self {
            doing: "marking a clip lost",
            state: ClipState::Lost,
            event: "lost",
            emits: Some(EventType::ClipLost),
            ..Self::failed(attempt, why)
        }
    }

    /// What came is no acceptable media.
    pub(crate) fn rejected(attempt: Attempt, why: &str) -> Self {
        Self {
            doing: "marking a clip rejected",
            state: ClipState::Rejected,
            event: "rejected",
            emits: Some(EventType::ClipRejected),
            ..Self::failed(attempt, why)
        }
    }

    /// No request may go to this origin.
    pub(crate) fn refused(attempt: Attempt, end: ClipState, origin: &str, why: &str) -> Self {
        let over = if end == ClipState::Lost { Self::lost(attempt, why) } else { Self::rejected(attempt, why) };
        Self { refused: Some(origin.to_owned()), ..over }
    }

    /// Whether the clip is over without having been stored.
    pub(crate) fn is_in_vain(&self) -> bool {
        matches!(self.state, ClipState::Lost | ClipState::Rejected)
    }

    fn failed(attempt: Attempt, why: &str) -> Self {
        Self { why: Some(without_nul(why)), ..Self::stored(attempt) }
    }
}
