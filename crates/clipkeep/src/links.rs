//! The links of this installation: signed, checked, revoked. Checking one
//! asks no database: what is revoked is held in memory, and the node hears of
//! more.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Context as _;
use clipkeep_core::{
    config::{BaseUrl, Config},
    id::{ClipKey, Tenant},
    link::{Audience, LinkError, LinkKeys, LinkTarget, Revocation, Revoked, SignError, VerifiedLink, expires_at},
    secret::Secret,
    time::Timestamp,
};
use parking_lot::RwLock;

use crate::{app::App, catalog::CatalogError};

/// How far the clocks of nodes may be apart, where a link's life is bounded.
const SKEW: Duration = Duration::from_secs(60);

/// A signed link.
#[derive(Clone, Debug)]
pub struct SignedLink {
    pub url: String,
    pub expires: Timestamp,
}

/// Both audiences' keys, and what was revoked.
#[derive(Debug)]
pub struct Links {
    public: LinkKeys,
    internal: LinkKeys,
    public_url: BaseUrl,
    window: Duration,
    internal_max: Duration,
    /// Whether `revoked` holds anything: spares each hit the lock.
    any: AtomicBool,
    revoked: RwLock<Revoked>,
}

impl Links {
    /// What signs and checks links as `config` says, with the text of these keys.
    ///
    /// # Errors
    /// If a key is not right.
    pub fn new(config: &Config, public: &Secret<String>, internal: &Secret<String>) -> anyhow::Result<Self> {
        let read = |text: &Secret<String>, audience| LinkKeys::parse(text.expose(), audience);
        Ok(Self {
            public: read(public, Audience::Public).context("link_keys is not right")?,
            internal: read(internal, Audience::Internal).context("internal_link_keys is not right")?,
            public_url: config.public_url.clone(),
            window: config.link_window,
            internal_max: config.internal_link_max_ttl,
            any: AtomicBool::new(false),
            revoked: RwLock::default(),
        })
    }

    pub const fn keys(&self, audience: Audience) -> &LinkKeys {
        match audience {
            Audience::Public => &self.public,
            Audience::Internal => &self.internal,
        }
    }

    /// See [`expires`].
    pub fn expires(&self, audience: Audience, now: Timestamp, span: Duration) -> Timestamp {
        expires(audience, now, span, self.window)
    }

    /// A link to a clip of this link generation that holds at `now`, whatever was
    /// revoked, and until `expires` or a little less.
    ///
    /// # Errors
    /// If there is none.
    pub fn sign(
        &self,
        target: LinkTarget,
        clip: (&ClipKey, u32),
        times: (Timestamp, Timestamp),
        download: Option<&str>,
    ) -> Result<SignedLink, SignError> {
        let keys = (self.keys(target.audience()), &*self.revoked.read());
        sign(keys, &self.public_url, (target, clip.0, clip.1), times, download)
    }

    /// Checks a request's path and raw query as a link of this audience.
    /// Whether its clip's links were revoked only the clip's row can tell: see
    /// [`is_current`].
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify<'q>(
        &self,
        audience: Audience,
        path: &str,
        query: Option<&'q str>,
        now: Timestamp,
    ) -> Result<VerifiedLink<'q>, LinkError> {
        let link = self.keys(audience).verify(path, query, now)?;
        if self.any.load(Ordering::Acquire) && self.revoked.read().refuses(&link) {
            return Err(LinkError::Revoked);
        }
        if audience == Audience::Internal && link.expires > now.plus(self.internal_max).plus(SKEW) {
            return Err(LinkError::TooLong);
        }
        Ok(link)
    }

    /// What revoking this link means, whatever host its URL names: where it leads,
    /// its clip, and what is to be remembered.
    ///
    /// # Errors
    /// If it is no link that was signed with our keys.
    pub fn read(&self, url: &str) -> Result<(LinkTarget, ClipKey, Revocation), LinkError> {
        let (place, query) = url.trim().split_once('?').ok_or(LinkError::Missing)?;
        let query = query.split('#').next().unwrap_or_default();
        let slash = place.rfind('/').and_then(|last| place[..last].rfind('/')).ok_or(LinkError::Malformed)?;
        let path = &place[slash..];
        let (target, key) = LinkTarget::of_path(path).ok_or(LinkError::Malformed)?;
        let beginning = Timestamp::from_millis(i64::MIN);
        let link = self.keys(target.audience()).verify(path, Some(query), beginning)?;
        Ok((target, key, Revocation::Link { hash: link.hash(), expires: link.expires }))
    }

    /// Takes in what was revoked.
    pub fn revoke_all(&self, revocations: impl IntoIterator<Item = Revocation>, now: Timestamp) {
        let mut revoked = self.revoked.write();
        revoked.forget(now);
        revocations.into_iter().for_each(|revocation| revoked.add(revocation));
        self.any.store(!revoked.is_empty(), Ordering::Release);
    }
}

impl App {
    /// Signs a link to a clip of this link generation, which holds for `span`.
    ///
    /// # Errors
    /// If none would hold.
    pub fn sign_link(
        &self,
        target: LinkTarget,
        clip: (&ClipKey, u32),
        span: Duration,
        download: Option<&str>,
    ) -> Result<SignedLink, SignError> {
        let now = self.clock.now();
        self.links.sign(target, clip, (now, self.links.expires(target.audience(), now, span)), download)
    }

    /// How long a link of this audience may hold, and which key says so.
    pub const fn longest_link(&self, audience: Audience) -> (Duration, &'static str) {
        longest_link(&self.config, audience)
    }

    /// Revokes a link, or a key's. This node refuses it from here on, the others
    /// within seconds. `false` if too much is revoked already, in all or by this
    /// tenant.
    pub async fn revoke(&self, revocation: Revocation, by: Option<&Tenant>) -> Result<bool, CatalogError> {
        let now = self.clock.now();
        let kept = self.catalog.revoke(&revocation, by, now).await?;
        if kept {
            self.links.revoke_all([revocation], now);
        }
        Ok(kept)
    }

    /// Revokes all of a clip's links; answers its link generation from now on.
    pub async fn revoke_links_of(&self, key: &ClipKey) -> Result<Option<u32>, CatalogError> {
        let generation = self.catalog.revoke_links_of(key, self.clock.now()).await?;
        self.changed([key]);
        Ok(generation)
    }
}

/// When a link that is made at `now` to last for `span` ends. Public ones are
/// rounded up to the window, so that they repeat; internal ones are never cached,
/// and last no longer than they were asked to.
pub fn expires(audience: Audience, now: Timestamp, span: Duration, window: Duration) -> Timestamp {
    expires_at(now, span, if audience == Audience::Public { window } else { Duration::ZERO })
}

/// A link to this of a clip of this link generation, signed with these keys, that
/// holds at `now` although these were revoked, and until `expires` or a little
/// less.
///
/// # Errors
/// If there is none.
pub fn sign(
    (keys, revoked): (&LinkKeys, &Revoked),
    public_url: &BaseUrl,
    (target, key, generation): (LinkTarget, &ClipKey, u32),
    (now, expires): (Timestamp, Timestamp),
    download: Option<&str>,
) -> Result<SignedLink, SignError> {
    let path = target.path(key);
    let (query, expires) = keys.sign_anew(revoked, now, (&path, generation), expires, download)?;
    Ok(SignedLink { url: format!("{public_url}{path}?{query}"), expires })
}

/// How long a link of this audience may hold, and which key says so.
pub const fn longest_link(config: &Config, audience: Audience) -> (Duration, &'static str) {
    match audience {
        Audience::Public => (config.link_max_ttl, "link_max_ttl"),
        Audience::Internal => (config.internal_link_max_ttl, "internal_link_max_ttl"),
    }
}

/// Whether the link is of the link generation that the clip's row names.
///
/// # Errors
/// If all of the clip's links were revoked after it was signed; or it was signed
/// for a generation that is still to come, so as to outlive a revocation.
pub fn is_current(link: &VerifiedLink<'_>, generation: u32) -> Result<(), LinkError> {
    if link.generation == generation { Ok(()) } else { Err(LinkError::Revoked) }
}
