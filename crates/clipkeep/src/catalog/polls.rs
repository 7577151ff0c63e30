//! Generations that the provider is asked for, because no webhook ended them.

use async_trait::async_trait;
use clipkeep_core::{generation::Generation, time::Timestamp};

use super::{Fault, Result};

/// A generation to ask for, and how asking went so far.
#[derive(Clone, Debug)]
pub struct Poll {
    pub generation: Generation,
    /// How often it was asked for, this time counted. It fences: of two who ask
    /// for the same, the later one's word counts.
    pub polls: u32,
    /// How often the provider did not know it.
    pub misses: u32,
    /// Why the last time brought nothing.
    pub error: Option<String>,
    /// Whether a tenant's word is all that says that it exists.
    pub is_claim: bool,
}

/// Asking for generations. `poll_at` is set by what is told of a generation, and
/// cleared with its end.
#[async_trait]
pub trait Polls {
    /// Claims up to `limit` generations that are to be asked for at `now`,
    /// longest due first. They are not claimed again for as long as `hold`, so
    /// that two nodes do not ask at once, and a node that is killed loses none.
    async fn claim_polls(&self, now: Timestamp, hold: Timestamp, limit: u32) -> Result<Vec<Poll>>;

    /// Asking brought nothing terminal: it is asked for again at `due`. Does
    /// nothing if it ended meanwhile, or was claimed anew.
    async fn poll_later(&self, poll: &Poll, due: Timestamp, fault: Option<Fault>, why: Option<&str>) -> Result<()>;

    /// How many generations without an end the provider cannot be asked for: no
    /// model is known that leads to them.
    async fn count_unasked(&self) -> Result<u64>;
}
