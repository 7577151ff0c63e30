//! Who a link is for. Paths, signing domains and key ids are apart, so that a
//! link of one audience can never be turned into one of the other.

use crate::{id::ClipKey, state::text_enum};

text_enum! {
    /// Who a link is for.
    Audience {
        /// Anything that a user sees.
        Public = "public",
        /// Review dashboards and the like: such a link may lead to the source.
        Internal = "internal",
    }
}

/// What ids of internal keys begin with, and ids of public ones do not.
pub(super) const INTERNAL_KID: &str = "i-";

impl Audience {
    /// The path of a clip for this audience.
    pub fn path(self, key: &ClipKey) -> String {
        match self {
            Self::Public => format!("/v/{key}"),
            Self::Internal => format!("/i/{key}"),
        }
    }

    /// The audience and the key of a clip's path, as it is written.
    pub fn of_path(path: &str) -> Option<(Self, ClipKey)> {
        let (audience, key) = match (path.strip_prefix("/v/"), path.strip_prefix("/i/")) {
            (Some(key), _) => (Self::Public, key),
            (_, Some(key)) => (Self::Internal, key),
            _ => return None,
        };
        Some((audience, key.parse().ok()?))
    }

    /// The first line of what is signed.
    pub(super) const fn domain(self) -> &'static str {
        match self {
            Self::Public => "clipkeep-v1",
            Self::Internal => "clipkeep-internal-v1",
        }
    }

    pub(super) const fn kid_rule(self) -> &'static str {
        match self {
            Self::Public => "ids that begin with i- are those of internal link keys",
            Self::Internal => "ids of internal link keys begin with i-",
        }
    }
}
