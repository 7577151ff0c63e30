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

/// What of a clip a link leads to. Each has a path of its own, so that a link to
/// one is none to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkTarget {
    Clip,
    /// The clip, or its source while it is not stored.
    Internal,
    Poster,
    /// A page that plays it.
    Page,
}

impl LinkTarget {
    /// What a link for this audience leads to, unless something else is asked for.
    pub const fn of(audience: Audience) -> Self {
        match audience {
            Audience::Public => Self::Clip,
            Audience::Internal => Self::Internal,
        }
    }

    /// For whom such links are.
    pub const fn audience(self) -> Audience {
        match self {
            Self::Clip | Self::Poster | Self::Page => Audience::Public,
            Self::Internal => Audience::Internal,
        }
    }

    pub fn path(self, key: &ClipKey) -> String {
        match self {
            Self::Clip => format!("/v/{key}"),
            Self::Internal => format!("/i/{key}"),
            Self::Poster => format!("/p/{key}.jpg"),
            Self::Page => format!("/w/{key}"),
        }
    }

    /// What a path leads to, and of which clip, as it is written: keys hold no
    /// character that needs escaping, and an escaped spelling is no key.
    pub fn of_path(path: &str) -> Option<(Self, ClipKey)> {
        let rest = path.strip_prefix('/')?;
        let (target, key) = match rest.split_once('/')? {
            ("v", key) => (Self::Clip, key),
            ("i", key) => (Self::Internal, key),
            ("p", file) => (Self::Poster, file.strip_suffix(".jpg")?),
            ("w", key) => (Self::Page, key),
            _ => return None,
        };
        Some((target, key.parse().ok()?))
    }
}

impl Audience {
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
