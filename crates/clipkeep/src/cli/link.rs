//! `clipkeep link KEY`: signs a link, or revokes links, without asking a
//! running node.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, anyhow, bail};
use clipkeep_core::{
    config::{Config, DurationText},
    id::{ClipKey, KeyId},
    link::{Audience, LinkKeys, LinkTarget, Revocation, Revoked},
    state::ClipState,
    time::Clock,
};
use serde_json::json;

use super::{output, wrong_usage};
use crate::{
    catalog::{
        Catalog,
        lookup::{clip_by_any_key, current_key},
        open::open_existing,
        revocations::MAX_REVOCATIONS,
    },
    clock::SystemClock,
    keys,
    links::{self, Links, longest_link},
};

/// How long the catalogue may take: the link needs none.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The clip's key, such as {request_id}.mp4.
    #[arg(required_unless_present_any = ["revoke", "revoke_kid"])]
    key: Option<String>,
    /// How long the link is valid, such as 24h; by default `link_ttl`.
    #[arg(long)]
    expires_in: Option<DurationText>,
    /// Make a download link that saves the clip under this file name.
    #[arg(long)]
    download: Option<String>,
    /// Link to a page that plays the clip, to share with people; --download sets its title.
    #[arg(long, conflicts_with = "internal")]
    page: bool,
    /// Make an internal link: it redirects to the source while the clip is not stored.
    #[arg(long)]
    internal: bool,
    /// Revoke all links to the clip instead of signing one.
    #[arg(long, requires = "key", conflicts_with_all = ["expires_in", "download", "internal", "page"])]
    revoke_all: bool,
    /// Revoke this one link instead of signing one.
    #[arg(long, value_name = "URL", conflicts_with_all = ["key", "expires_in", "download", "internal", "page"])]
    revoke: Option<String>,
    /// Revoke all links that the key with this id signed, or will sign.
    #[arg(long, value_name = "KID", conflicts_with_all = ["key", "revoke", "expires_in", "download", "internal", "page"])]
    revoke_kid: Option<KeyId>,
}

impl Args {
    const fn revokes(&self) -> bool {
        self.revoke_all || self.revoke.is_some() || self.revoke_kid.is_some()
    }

    /// Whether it needs the keys of this audience.
    pub(super) const fn needs(&self, audience: Audience) -> bool {
        self.revokes() || self.internal == matches!(audience, Audience::Internal)
    }

    fn key(&self) -> anyhow::Result<ClipKey> {
        let text = self.key.as_deref().unwrap_or_default();
        text.parse().map_err(|_| wrong_usage(format!("{text:?} is no clip key")))
    }
}

pub(super) async fn run(config: &Config, args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    if args.revokes() { revoke(config, args, as_json).await } else { sign(config, args, as_json).await }
}

async fn sign(config: &Config, args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let (key, audience) = (args.key()?, if args.internal { Audience::Internal } else { Audience::Public });
    let (max, name) = longest_link(config, audience);
    let span = args.expires_in.map_or(config.link_ttl.min(max), Into::into);
    if span.is_zero() || span > max {
        return Err(wrong_usage(format!("--expires-in must be 1 s to {} s ({name})", max.as_secs())));
    }
    let text = match audience {
        Audience::Public => keys::link_keys_text(config)?,
        Audience::Internal => keys::internal_link_keys_text(config)?,
    };
    let keys = LinkKeys::parse(text.expose(), audience)?;
    let outlook = tokio::time::timeout(LOOKUP_TIMEOUT, outlook(config, &key)).await;
    let ClipOutlook { key: known_as, generation, revoked, note } = outlook.unwrap_or_else(|_| ClipOutlook::unknown());
    let key = known_as.unwrap_or(key);
    let now = SystemClock.now();
    let times = (now, links::expires(audience, now, span, config.link_window));
    let target = if args.page { LinkTarget::Page } else { LinkTarget::of(audience) };
    let clip = (target, &key, generation);
    let link = links::sign((&keys, &revoked), &config.public_url, clip, times, args.download.as_deref())?;
    if as_json {
        let (url, expires) = (&link.url, link.expires);
        let secs = expires.secs();
        output::json(&json!({"key": key, "audience": audience, "url": url, "expires": secs, "expires_at": expires}))?;
    } else {
        output::line(link.url);
    }
    if let Some(note) = note {
        output::note(note);
    }
    Ok(ExitCode::SUCCESS)
}

/// What the catalogue knows of the link, if it is at hand.
#[derive(Default)]
struct ClipOutlook {
    /// What the clip is called now.
    key: Option<ClipKey>,
    generation: u32,
    revoked: Revoked,
    /// Why the link does not work now.
    note: Option<String>,
}

impl ClipOutlook {
    fn unknown() -> Self {
        let note = "the catalogue does not answer: if links were revoked before, this one may be refused, too";
        Self { note: Some(note.to_owned()), ..Self::default() }
    }
}

async fn outlook(config: &Config, key: &ClipKey) -> ClipOutlook {
    let catalog = match open_existing(config).await {
        Ok(Some(catalog)) => catalog,
        Ok(None) => return ClipOutlook::default(),
        Err(_) => return ClipOutlook::unknown(),
    };
    let (Ok(clip), Ok(told)) = (clip_by_any_key(&*catalog, key).await, catalog.revocations(SystemClock.now()).await)
    else {
        return ClipOutlook::unknown();
    };
    let mut revoked = Revoked::default();
    told.into_iter().for_each(|revocation| revoked.add(revocation));
    let generation = clip.as_ref().map_or(0, |clip| clip.link_generation);
    let note = match clip.as_ref().map(|clip| clip.state) {
        None => Some(format!("{key} is not known yet: the link works once the clip comes")),
        Some(state @ (ClipState::Lost | ClipState::Rejected | ClipState::Deleted)) => {
            Some(format!("{key} is {state}: the link answers 410"))
        }
        Some(_) => None,
    };
    ClipOutlook { key: clip.map(|clip| clip.key), generation, revoked, note }
}

/// Writes it into the catalogue; running nodes hear of it within seconds.
async fn revoke(config: &Config, args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let links = Links::new(config, &keys::link_keys_text(config)?, &keys::internal_link_keys_text(config)?)?;
    let catalog = open_existing(config).await?.context("there is no catalogue yet, so no clip has links")?;
    if args.revoke_all {
        let key = current_key(&*catalog, &args.key()?).await?;
        let raised = catalog.revoke_links_of(&key, SystemClock.now()).await?;
        let generation = raised.ok_or_else(|| anyhow!("no clip is named {key}"))?;
        let told = json!({"revoked": "clip", "key": key, "link_generation": generation});
        return print_revoked(&format!("all links to {key} are revoked"), &told, as_json);
    }
    if let Some(kid) = &args.revoke_kid {
        if ![Audience::Public, Audience::Internal].iter().any(|audience| links.keys(*audience).has(kid)) {
            bail!("no link key has the id {kid}");
        }
        remember(&*catalog, Revocation::Key(kid.clone())).await?;
        return print_revoked(
            &format!("all links signed by {kid} are revoked"),
            &json!({"revoked": "kid", "kid": kid}),
            as_json,
        );
    }
    let url = args.revoke.as_deref().context("which link?")?;
    let (_, key, revocation) = links.read(url).map_err(|error| anyhow!("--revoke: {error}"))?;
    remember(&*catalog, revocation).await?;
    print_revoked(&format!("that link to {key} is revoked"), &json!({"revoked": "link", "key": key}), as_json)
}

async fn remember(catalog: &dyn Catalog, revocation: Revocation) -> anyhow::Result<()> {
    if catalog.revoke(&revocation, None, SystemClock.now()).await? {
        return Ok(());
    }
    bail!("{MAX_REVOCATIONS} links are revoked already; hint: --revoke-all revokes a clip's links in one")
}

fn print_revoked(text: &str, told: &serde_json::Value, as_json: bool) -> anyhow::Result<ExitCode> {
    if as_json {
        output::json(told)?;
    } else {
        output::line(format!("{text}; running nodes refuse them within seconds"));
    }
    Ok(ExitCode::SUCCESS)
}
