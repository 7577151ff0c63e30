//! `clipkeep link KEY`: signs a link, without asking a running node.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use clipkeep_core::{
    config::{Config, DurationText},
    id::ClipKey,
    link::{LinkKeys, expires_at},
    state::ClipState,
    time::Clock,
};
use serde_json::json;

use super::output;
use crate::{catalog::open::open_existing, clock::SystemClock, keys};

/// How long the catalogue may take: the link needs none.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The clip's key, such as {request_id}.mp4.
    key: String,
    /// How long it shall hold, such as 24h; link_ttl unless given.
    #[arg(long)]
    expires_in: Option<DurationText>,
    /// The file name to save it under.
    #[arg(long)]
    download: Option<String>,
}

/// Why the link does not work now, if the catalogue is at hand and says so.
async fn outlook(config: &Config, key: &ClipKey) -> Option<String> {
    let catalog = open_existing(config).await.ok()??;
    match catalog.clip(key).await.ok()?.map(|clip| clip.state) {
        None => Some(format!("{key} is not known yet: the link works once the clip comes")),
        Some(state @ (ClipState::Lost | ClipState::Rejected | ClipState::Deleted)) => {
            Some(format!("{key} is {state}: the link answers 410"))
        }
        Some(_) => None,
    }
}

pub(super) async fn run(config: &Config, args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let key: ClipKey = args.key.parse().with_context(|| format!("{:?} is no clip key", args.key))?;
    let span = args.expires_in.map_or(config.link_ttl, Into::into);
    if span.is_zero() || span > config.link_max_ttl {
        bail!("--expires-in must be 1 s to {} s (link_max_ttl)", config.link_max_ttl.as_secs());
    }
    let links: LinkKeys = keys::link_keys_text(config)?.expose().parse()?;
    let expires = expires_at(SystemClock.now(), span, config.link_window);
    let path = format!("/v/{key}");
    let url = format!("{}{path}?{}", config.public_url, links.sign(&path, expires, args.download.as_deref()));
    if as_json {
        output::json(&json!({"key": key, "url": url, "expires": expires.secs(), "expires_at": expires}))?;
    } else {
        output::line(url);
    }
    if let Some(note) = tokio::time::timeout(PATIENCE, outlook(config, &key)).await.ok().flatten() {
        output::note(note);
    }
    Ok(ExitCode::SUCCESS)
}
