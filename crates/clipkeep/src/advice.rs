//! What does not hinder a node today and will hurt it later, with its mend: told
//! by `clipkeep doctor`, and by a node that starts.

use std::{os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use clipkeep_core::{config::Config, human};
use http::{StatusCode, header::AUTHORIZATION};

use crate::{catalog::Catalog, tls};

/// Less room than this is soon none.
const LOW_DISK: u64 = 1 << 30;
/// A generation that no queue knows: asking after it costs nothing.
const NOBODYS: &str = "fal-ai/fast-sdxl/requests/00000000-0000-0000-0000-000000000000/status";
const CHECK_TIMEOUT: Duration = Duration::from_secs(15);

/// One thing to look at.
pub struct Advice {
    /// What it is about, in a word.
    pub about: &'static str,
    /// What is so, and what to do, in a sentence.
    pub what: String,
}

/// Looks at everything.
pub async fn collect(config: &Config, catalog: &dyn Catalog) -> Vec<Advice> {
    let mut found: Vec<Advice> =
        config.warnings().into_iter().map(|warning| Advice { about: "config", what: warning.to_string() }).collect();
    let mut add = |about, what: Option<String>| found.extend(what.map(|what| Advice { about, what }));
    add("data", readable(&config.data));
    add("disk", full(&config.data));
    add("fal", believing_all(config));
    add("fal", refused(config).await);
    for what in catalog.warnings().await.unwrap_or_default() {
        add("database", Some(what));
    }
    found
}

/// Whether others of this machine may look into the data folder.
fn readable(data: &Path) -> Option<String> {
    let mode = data.metadata().ok()?.permissions().mode() & 0o777;
    let open = format!("{} can be read by other users of this machine (mode {mode:o}): chmod 700 it", data.display());
    (mode & 0o077 != 0).then_some(open)
}

fn full(data: &Path) -> Option<String> {
    let room = rustix::fs::statvfs(data).ok()?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let low = format!(
        "only {} are free where {} is: clips wait there while they are copied; make room, or move `data`",
        human::size(free),
        data.display()
    );
    (free < LOW_DISK).then_some(low)
}

/// Whether any customer of fal's can put generations into the catalogue.
fn believing_all(config: &Config) -> Option<String> {
    let words = "fal_user_ids is empty: fal signs for all its customers with the same keys, so any of them who learns your \
        hook URL can put clips into your catalogue; name your own account there";
    (config.fal_user_ids.is_empty() && !config.is_local()).then(|| words.to_owned())
}

/// Whether fal refuses the key.
async fn refused(config: &Config) -> Option<String> {
    let key = config.fal_key.as_ref()?;
    let client = tls::client_builder().timeout(CHECK_TIMEOUT).build().ok()?;
    let asked = client.get(format!("{}/{NOBODYS}", config.fal_queue_url));
    let answer = asked.header(AUTHORIZATION, format!("Key {}", key.expose())).send().await.ok()?;
    let is_refused = matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    let words = "fal refuses `fal_key`: lost webhooks cannot be asked for and no call can pass; put a key there that \
        fal.ai's dashboard shows, in the form id:secret";
    is_refused.then(|| words.to_owned())
}
