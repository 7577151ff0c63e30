//! What an app, or another node, is told about.

use std::{fmt, str::FromStr};

use serde_json::{Map, Value};

use crate::{
    id::{ClipKey, Provider, RequestId, Tenant},
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
        /// A clip's links were revoked; or, without a clip, what `detail` says.
        /// For nodes alone.
        LinkRevoked = "link.revoked",
        /// The provider says that a generation failed.
        GenerationFailed = "generation.failed",
        /// A generation has a result that is not understood, or not all of it.
        GenerationUnreadable = "generation.unreadable",
        /// A month costs as much of its budget as somebody is to be told of.
        BudgetExceeded = "budget.exceeded",
    }
}

/// The names of what only nodes are told, as a list in SQL: statements and
/// [`EventType::is_for_apps`] say the same.
#[macro_export]
macro_rules! notices {
    () => {
        "('clip.revised', 'link.revoked')"
    };
}

impl EventType {
    /// Whether apps are told of it, or only nodes.
    pub const fn is_for_apps(self) -> bool {
        match self {
            Self::ClipRevised | Self::LinkRevoked => false,
            Self::ClipStored
            | Self::ClipLost
            | Self::ClipAtRisk
            | Self::ClipDeleted
            | Self::ClipRejected
            | Self::GenerationFailed
            | Self::GenerationUnreadable
            | Self::BudgetExceeded => true,
        }
    }
}

/// Something that became true, written down in the transaction that made it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: EventType,
    pub at: Timestamp,
    /// Of which generation, if it is about one or about a clip.
    pub generation: Option<(Provider, RequestId)>,
    /// Of which clip, if it is about one.
    pub key: Option<ClipKey>,
    /// Why; of a budget, what is told of it, as JSON.
    pub detail: Option<String>,
    /// Whose it is, where no generation tells.
    pub tenant: Option<Tenant>,
}

impl Event {
    /// What it is about: the clip, or else the generation, the tenant, or all
    /// together. Events about one subject are told in their order.
    pub fn subject(&self) -> &str {
        let key = self.key.as_ref().map(|key| key.as_str());
        let tenant = || self.tenant.as_ref().map(Tenant::as_str);
        key.or_else(|| self.request_id().map(RequestId::as_str)).or_else(tenant).unwrap_or("all")
    }

    /// What is told of it beside, if its `detail` is JSON.
    pub fn detail_json(&self) -> Option<Map<String, Value>> {
        self.detail.as_deref().and_then(|detail| serde_json::from_str(detail).ok())
    }

    /// Why, in words.
    pub fn reason(&self) -> Option<String> {
        if self.kind != EventType::BudgetExceeded {
            return self.detail.clone();
        }
        self.detail_json().and_then(|detail| detail.get("reason")?.as_str().map(str::to_owned))
    }

    /// The id of the generation that it is about.
    pub fn request_id(&self) -> Option<&RequestId> {
        self.generation.as_ref().map(|(_, request_id)| request_id)
    }
}

/// A place in the order of events. Its text is `{tx}-{id}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The transaction, where several may write at once.
    pub tx: i64,
    pub id: i64,
}

impl Position {
    /// Before all events.
    pub const BEGINNING: Self = Self { tx: 0, id: 0 };

    /// The `webhook-id` of the event here: the same on each attempt.
    pub fn webhook_id(self) -> String {
        format!("evt_{}_{}", self.tx, self.id)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.tx, self.id)
    }
}

/// The text is no place in the order of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of an event, such as 4711-42")]
pub struct PositionError;

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse().map_err(|_| PositionError),
            false => Err(PositionError),
        };
        let (tx, id) = text.split_once('-').ok_or(PositionError)?;
        Ok(Self { tx: number(tx)?, id: number(id)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h30_one_place_says_what_is_for_nodes_alone() {
        for kind in EventType::ALL {
            let is_notice = notices!().contains(&format!("'{kind}'"));
            assert_eq!(is_notice, !kind.is_for_apps(), "{kind}");
        }
    }

    #[test]
    fn a_position_survives_its_trip_and_nonsense_is_refused() {
        let position = Position { tx: 4711, id: i64::MAX };
        assert_eq!(position.to_string().parse(), Ok(position));
        for bad in ["", "1", "-", "1-", "-1", "1-2-3", "+1-2", "1--2", "1-99999999999999999999"] {
            assert_eq!(bad.parse::<Position>(), Err(PositionError), "{bad}");
        }
    }
}
