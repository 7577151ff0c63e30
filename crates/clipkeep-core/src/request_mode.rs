//! How much a source takes. Many are healthy, and some are not: they refuse a
//! second connection, or any request for a range, or name each answer another
//! version. A fill goes down a ladder with such a source, remembers where it
//! stands, and never climbs back up by itself.

use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// A rung of the ladder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestMode {
    /// Several requests at once, for pieces of the clip.
    #[default]
    Parallel,
    /// One request at a time. A later one goes on from where an earlier one broke
    /// off.
    Single,
    /// One plain request after another, each for the whole: one answer is one
    /// version.
    Stream,
}

impl RequestMode {
    /// The rung after a piece that was asked for beside another request brought
    /// nothing, whatever the reason: the other one goes on alone.
    #[must_use]
    pub fn refused_beside(self) -> Self {
        self.max(Self::Single)
    }

    /// The rung after a request for a range that ran alone failed with `verdict`;
    /// `again` says that the one before it did, too.
    #[must_use]
    pub const fn refused_alone(self, verdict: Verdict, again: bool) -> Self {
        if verdict.blames_the_range(again) { Self::Stream } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Why;

    #[test]
    fn k05_a_refusal_beside_a_running_request_leaves_it_alone_with_the_source() {
        assert_eq!(RequestMode::Parallel.refused_beside(), RequestMode::Single);
        assert_eq!(RequestMode::Stream.refused_beside(), RequestMode::Stream, "never up");
    }

    #[test]
    fn k04_a_range_that_is_refused_leads_to_a_plain_request_and_an_outage_does_not_at_once() {
        let refused = Verdict::Missing(Why::Http403);
        assert_eq!(RequestMode::Parallel.refused_alone(refused, false), RequestMode::Stream);
        let away = Verdict::retry(Why::Http5xx);
        assert_eq!(RequestMode::Parallel.refused_alone(away, false), RequestMode::Parallel);
        assert_eq!(RequestMode::Parallel.refused_alone(away, true), RequestMode::Stream);
    }
}
