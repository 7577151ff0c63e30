//! Links: signed URLs that clipkeep hands out, and that an app may sign itself.
//!
//! `docs/signing.md` states the algorithm and its vectors; the tests read them
//! from there. A signature covers the path, the expiry, the key's id and the
//! download name, and nothing else: other query parameters are ignored, so a
//! CDN or an app may add its own.
//!
//! Each audience has keys, paths and a signing domain of its own. A `kid` may
//! end in a dot and a number, `k1.2`: the key is `k1`'s, and the number is the
//! clip's link generation, which is raised when all of its links are revoked.

mod audience;
mod query;
mod revoked;

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use ring::hmac;

use self::{
    audience::INTERNAL_KID,
    query::{Params, decode_signature, plain_decimal},
};
pub use self::{
    audience::{Audience, LinkTarget},
    revoked::{LinkHash, Revocation, RevocationError, Revoked},
};
use crate::{
    id::{IdError, KeyId},
    percent,
    time::Timestamp,
};

/// How many links to one clip that end at about the same time may be revoked one
/// by one: so many seconds are tried for the next.
const MOST_REVOKED: i64 = 600;

/// The shortest key accepted, in bytes.
const MIN_KEY_LEN: usize = 16;

/// Why a link was refused. Each is a 403 at the edge: `expired_link` for
/// [`LinkError::Expired`], `forbidden_link` for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// `expires`, `kid` or `signature` is absent.
    #[error("the link is not signed")]
    Missing,
    /// A parameter stands there twice or is not written as it must be.
    #[error("the link is malformed")]
    Malformed,
    /// No key of ours has this id (any more).
    #[error("the link is signed with an unknown key")]
    UnknownKey,
    /// The signature is not that of this path and these parameters.
    #[error("the link's signature does not match")]
    BadSignature,
    /// The signature is right, but the link's time is over.
    #[error("the link has expired")]
    Expired,
    /// The signature is right, but the link, its clip's links, or its key was
    /// revoked.
    #[error("the link was revoked")]
    Revoked,
    /// The signature is right, but the link would last longer than links of its
    /// audience may.
    #[error("the link lasts longer than an internal link may")]
    TooLong,
}

/// Why no link can be signed that holds. Fit for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// None of the audience's keys may sign any more.
    #[error("all link keys of this audience were revoked: put a new one in front of them, and restart")]
    KeysRevoked,
    /// All that could be given were revoked one by one.
    #[error("too many links to this clip were revoked one by one: revoke all of its links at once instead")]
    LinksRevoked,
}

/// Why `link_keys` was refused. Fit for a user: no message holds a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkKeysError {
    /// The text is empty.
    #[error("link keys must hold at least one kid:base64 pair")]
    Empty,
    /// The entry has no colon.
    #[error("link key number {number} must look like kid:base64")]
    Shape {
        /// Which entry, from 1.
        number: usize,
    },
    /// The part before the colon is no key id.
    #[error("link key number {number}: {source}")]
    Kid {
        /// Which entry, from 1.
        number: usize,
        /// What is wrong with it.
        source: IdError,
    },
    /// The part after the colon is no base64.
    #[error("link key number {number} is not base64")]
    Encoding {
        /// Which entry, from 1.
        number: usize,
    },
    /// The key can be guessed too easily.
    #[error("link key number {number} must be at least {MIN_KEY_LEN} bytes")]
    TooShort {
        /// Which entry, from 1.
        number: usize,
    },
    /// A key of one audience has a name of the other's.
    #[error("link key number {number}: {rule}")]
    Audience {
        /// Which entry, from 1.
        number: usize,
        /// What names of this audience are like.
        rule: &'static str,
    },
    /// Two keys under one id would make links depend on their order.
    #[error("the key id {kid} stands twice among the link keys")]
    Duplicate { kid: KeyId },
}

/// The keys that sign and verify links, ready for use. The first signs; all
/// verify, so a key is rotated by putting a new one in front and removing the
/// old one when its last link has expired. `Debug` shows the ids alone.
#[derive(Clone)]
pub struct LinkKeys {
    audience: Audience,
    signing: LinkKey,
    older: Vec<LinkKey>,
}

/// One of them.
#[derive(Clone)]
pub(crate) struct LinkKey {
    kid: KeyId,
    // HMAC's inner and outer state, computed once: a link costs two blocks less.
    hmac: hmac::Key,
}

/// A link that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedLink<'q> {
    pub expires: Timestamp,
    /// The file name under which the clip is to be saved, if any. It is what
    /// the signer wrote; [`crate::delivery::header::attachment`] makes it safe.
    pub download: Option<Cow<'q, str>>,
    /// The id of the key that signed it.
    pub kid: &'q str,
    /// The link generation that it was signed for.
    pub generation: u32,
    signature: [u8; 32],
}

impl VerifiedLink<'_> {
    /// The same for watching, whatever name it is to be saved under.
    #[must_use]
    pub fn without_download(&self) -> Self {
        Self { download: None, ..self.clone() }
    }

    /// What a revocation calls it.
    pub fn hash(&self) -> LinkHash {
        LinkHash::of(&self.signature)
    }
}

impl LinkKeys {
    /// Reads `kid:base64,kid2:base64`, the keys of this audience. The base64 may
    /// be standard or URL-safe, padded or not. Ids of internal keys begin with
    /// `i-`, and those of public ones do not.
    ///
    /// # Errors
    /// What is wrong with the first entry that is.
    pub fn parse(text: &str, audience: Audience) -> Result<Self, LinkKeysError> {
        if text.trim().is_empty() {
            return Err(LinkKeysError::Empty);
        }
        let mut keys: Vec<LinkKey> = Vec::new();
        for (index, entry) in text.split(',').enumerate() {
            let key = LinkKey::parse(entry.trim(), index + 1, audience)?;
            if keys.iter().any(|known| known.kid == key.kid) {
                return Err(LinkKeysError::Duplicate { kid: key.kid });
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let signing = keys.next().ok_or(LinkKeysError::Empty)?;
        Ok(Self { audience, signing, older: keys.collect() })
    }

    /// Whose links they sign.
    pub const fn audience(&self) -> Audience {
        self.audience
    }

    /// Whether a key of this id is among them.
    pub fn has(&self, kid: &KeyId) -> bool {
        self.iter().any(|key| key.kid == *kid)
    }

    /// The query string, without `?`, that makes `path` (such as
    /// `/v/019f6af7.mp4`) a link until `expires`, of the clip's link
    /// generation, signed with the first key. An empty download name is none.
    pub fn sign(&self, path: &str, generation: u32, expires: Timestamp, download: Option<&str>) -> String {
        self.sign_with(&self.signing, path, generation, expires, download).0
    }

    /// The same of a link that holds although these were revoked, and when it
    /// ends. The first key that was not revoked signs. Where just this link was,
    /// the one that ends a second earlier stands for it, and so on.
    ///
    /// # Errors
    /// If no such link holds at `now`.
    pub fn sign_anew(
        &self,
        revoked: &Revoked,
        now: Timestamp,
        (path, generation): (&str, u32),
        expires: Timestamp,
        download: Option<&str>,
    ) -> Result<(String, Timestamp), SignError> {
        let key = self.signer(revoked).ok_or(SignError::KeysRevoked)?;
        let latest = expires.secs();
        for secs in (latest.saturating_sub(MOST_REVOKED)..=latest).rev() {
            let expires = Timestamp::from_secs(secs);
            let (query, tag) = self.sign_with(key, path, generation, expires, download);
            if secs < latest && secs <= now.secs() {
                break;
            }
            if !revoked.has_link(&LinkHash::of(tag.as_ref())) {
                return Ok((query, expires));
            }
        }
        Err(SignError::LinksRevoked)
    }

    /// The same for `path` that `link` is for its own: it is no stronger, and ends
    /// with it, its key and its link generation. `None` if the key is gone.
    pub fn sign_like(&self, link: &VerifiedLink<'_>, path: &str) -> Option<String> {
        let key = self.iter().find(|key| key.kid.as_str() == link.kid)?;
        Some(self.sign_with(key, path, link.generation, link.expires, link.download.as_deref()).0)
    }

    /// Whether a key is left that was not revoked.
    pub fn may_sign(&self, revoked: &Revoked) -> bool {
        self.signer(revoked).is_some()
    }

    fn signer(&self, revoked: &Revoked) -> Option<&LinkKey> {
        self.iter().find(|key| !revoked.has_key(&key.kid))
    }

    fn sign_with(
        &self,
        key: &LinkKey,
        path: &str,
        generation: u32,
        expires: Timestamp,
        download: Option<&str>,
    ) -> (String, hmac::Tag) {
        let expires = expires.secs().max(0).to_string();
        let download = download.unwrap_or_default();
        let kid = if generation == 0 { key.kid.to_string() } else { format!("{}.{generation}", key.kid) };
        let tag = hmac::sign(&key.hmac, self.message(path, &expires, &kid, download).as_bytes());

        let mut query = format!("expires={expires}&kid={kid}");
        if !download.is_empty() {
            query.push_str("&download=");
            percent::encode(download, &mut query);
        }
        query.push_str("&signature=");
        BASE64URL_NOPAD.encode_append(tag.as_ref(), &mut query);
        (query, tag)
    }

    /// Checks the raw query string of a request for `path`.
    ///
    /// `path` is the request's path as it came, undecoded: an encoded spelling
    /// of a path is another path. The expiry is judged last, so that only who
    /// holds a genuine link learns that it has expired. A link is over from
    /// the very second it names: `now >= expires` is expired.
    pub fn verify<'q>(
        &self,
        path: &str,
        raw_query: Option<&'q str>,
        now: Timestamp,
    ) -> Result<VerifiedLink<'q>, LinkError> {
        let params = Params::parse(raw_query.unwrap_or_default())?;
        let (Some(expires), Some(kid), Some(signature)) = (params.expires, params.kid, params.signature) else {
            return Err(LinkError::Missing);
        };
        let expires_secs = plain_decimal(expires)?;
        let download = match params.download {
            Some(name) if !name.is_empty() => Some(percent::decode_query(name).ok_or(LinkError::Malformed)?),
            _ => None,
        };
        let signature = decode_signature(signature)?;

        let (id, generation) = split_kid(kid)?;
        let key = self.iter().find(|key| key.kid.as_str() == id).ok_or(LinkError::UnknownKey)?;
        let message = self.message(path, expires, kid, download.as_deref().unwrap_or_default());
        hmac::verify(&key.hmac, message.as_bytes(), &signature).map_err(|_| LinkError::BadSignature)?;

        if now.secs() >= expires_secs {
            return Err(LinkError::Expired);
        }
        Ok(VerifiedLink { expires: Timestamp::from_secs(expires_secs), download, kid: id, generation, signature })
    }

    /// What is signed. Only the last line may hold a line break, so no two links
    /// share a message.
    fn message(&self, path: &str, expires: &str, kid: &str, download: &str) -> String {
        [self.audience.domain(), path, expires, kid, download].join("\n")
    }

    /// All keys, the one that signs first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &LinkKey> {
        std::iter::once(&self.signing).chain(&self.older)
    }

    /// The tag of a message that is no link, in pieces, by the first key.
    pub(crate) fn tag(&self, message: &[&[u8]]) -> hmac::Tag {
        self.signing.tag(message)
    }
}

impl LinkKey {
    /// The tag of a message that is no link, in pieces.
    pub(crate) fn tag(&self, message: &[&[u8]]) -> hmac::Tag {
        let mut signing = hmac::Context::with_key(&self.hmac);
        message.iter().for_each(|piece| signing.update(piece));
        signing.sign()
    }
}

impl FromStr for LinkKeys {
    type Err = LinkKeysError;

    /// Reads the keys of the public audience.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, Audience::Public)
    }
}

impl fmt::Debug for LinkKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|key| &key.kid)).finish()
    }
}

impl LinkKey {
    fn parse(entry: &str, number: usize, audience: Audience) -> Result<Self, LinkKeysError> {
        let (kid, encoded) = entry.split_once(':').ok_or(LinkKeysError::Shape { number })?;
        let kid: KeyId = kid.parse().map_err(|source| LinkKeysError::Kid { number, source })?;
        if kid.as_str().starts_with(INTERNAL_KID) != (audience == Audience::Internal) {
            return Err(LinkKeysError::Audience { number, rule: audience.kid_rule() });
        }
        let bytes = [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD]
            .iter()
            .find_map(|encoding| encoding.decode(encoded.as_bytes()).ok())
            .ok_or(LinkKeysError::Encoding { number })?;
        if bytes.len() < MIN_KEY_LEN {
            return Err(LinkKeysError::TooShort { number });
        }
        Ok(Self { kid, hmac: hmac::Key::new(hmac::HMAC_SHA256, &bytes) })
    }
}

/// When a link made at `now` to last for `ttl` expires: rounded up to a whole
/// `window` of seconds, so that all links made within one window are the same
/// link, and cache as one.
pub fn expires_at(now: Timestamp, ttl: Duration, window: Duration) -> Timestamp {
    let window_millis = i64::try_from(window.as_secs().max(1)).unwrap_or(i64::MAX).saturating_mul(1000);
    let earliest = now.plus(ttl).millis();
    let into_window = earliest.rem_euclid(window_millis);
    if into_window == 0 {
        return Timestamp::from_millis(earliest);
    }
    Timestamp::from_millis(earliest.saturating_add(window_millis - into_window))
}

/// A link's `kid`, without and with its generation. One number has one
/// spelling, and no number is 0.
fn split_kid(kid: &str) -> Result<(&str, u32), LinkError> {
    let Some((id, number)) = kid.split_once('.') else { return Ok((kid, 0)) };
    let number = u32::try_from(plain_decimal(number)?).map_err(|_| LinkError::Malformed)?;
    if number == 0 { Err(LinkError::Malformed) } else { Ok((id, number)) }
}

#[cfg(test)]
mod tests;
