//! Links that were revoked before their time, and keys whose links all were.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    str::FromStr,
    time::Duration,
};

use data_encoding::HEXLOWER;
use ring::digest;

use super::VerifiedLink;
use crate::{id::KeyId, time::Timestamp};

/// How long a link that is over is still remembered: clocks may differ, and be
/// set back.
const MARGIN: Duration = Duration::from_secs(3600);

/// A link by the SHA-256 of its signature: tells it from all others, and is of
/// no use to open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkHash([u8; 32]);

impl LinkHash {
    pub(super) fn of(signature: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, signature).as_ref());
        Self(hash)
    }
}

impl fmt::Display for LinkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// What was revoked. Its text is `link {hash} {expires}` or `key {kid}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    Link {
        hash: LinkHash,
        /// When it would have ended by itself.
        expires: Timestamp,
    },
    /// All links that a key signed, and will sign.
    Key(KeyId),
}

impl Revocation {
    /// From when on it need not be remembered.
    pub fn ends(&self) -> Option<Timestamp> {
        match self {
            Self::Link { expires, .. } => Some(expires.plus(MARGIN)),
            Self::Key(_) => None,
        }
    }
}

impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link { hash, expires } => write!(f, "link {hash} {}", expires.secs()),
            Self::Key(kid) => write!(f, "key {kid}"),
        }
    }
}

/// The text is no revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a revocation")]
pub struct RevocationError;

impl FromStr for Revocation {
    type Err = RevocationError;

    fn from_str(text: &str) -> Result<Self, RevocationError> {
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["key", kid] => kid.parse().map(Self::Key).map_err(|_| RevocationError),
            ["link", hash, expires] => {
                let hash = HEXLOWER.decode(hash.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
                let expires = expires.parse().map(Timestamp::from_secs).map_err(|_| RevocationError)?;
                Ok(Self::Link { hash: hash.map(LinkHash).ok_or(RevocationError)?, expires })
            }
            _ => Err(RevocationError),
        }
    }
}

/// What is revoked, to be asked for each link.
#[derive(Debug, Default)]
pub struct Revoked {
    links: HashMap<LinkHash, Timestamp>,
    keys: HashSet<KeyId>,
}

impl Revoked {
    /// Forgets those whose time is over at `now`.
    pub fn forget(&mut self, now: Timestamp) {
        self.links.retain(|_, expires| expires.plus(MARGIN) > now);
    }

    /// Takes one in.
    pub fn add(&mut self, revocation: Revocation) {
        match revocation {
            Revocation::Link { hash, expires } => drop(self.links.insert(hash, expires)),
            Revocation::Key(kid) => drop(self.keys.insert(kid)),
        }
    }

    /// Whether the link, or all links of its key, were revoked.
    pub fn refuses(&self, link: &VerifiedLink<'_>) -> bool {
        let key = || self.keys.iter().any(|kid| kid.as_str() == link.kid);
        (!self.keys.is_empty() && key()) || (!self.links.is_empty() && self.links.contains_key(&link.hash()))
    }

    /// Whether all links of this key were revoked.
    pub fn has_key(&self, kid: &KeyId) -> bool {
        self.keys.contains(kid)
    }

    /// Whether this one link was.
    pub(super) fn has_link(&self, hash: &LinkHash) -> bool {
        self.links.contains_key(hash)
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty() && self.keys.is_empty()
    }
}
