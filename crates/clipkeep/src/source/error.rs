//! What went wrong at a source. Never says which source.

use clipkeep_core::{
    address::Forbidden,
    verdict::{Verdict, Why},
};

/// A source did not give what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct SourceError {
    what: String,
    verdict: Verdict,
}

impl SourceError {
    pub(super) fn new(what: impl Into<String>, verdict: Verdict) -> Self {
        Self { what: what.into(), verdict }
    }

    pub(super) fn retry(what: impl Into<String>, why: Why) -> Self {
        Self::new(what, Verdict::retry(why))
    }

    /// The source is another version than before.
    pub fn changed() -> Self {
        Self::new("the source became another version", Verdict::Changed)
    }

    /// What follows from it.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }
}

impl From<Forbidden> for SourceError {
    fn from(forbidden: Forbidden) -> Self {
        Self::new(forbidden.to_string(), Verdict::Rejected(Why::Forbidden))
    }
}
