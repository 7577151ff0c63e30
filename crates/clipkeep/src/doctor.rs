//! What a node needs, checked, each with how to mend it: for `clipkeep doctor` and
//! the console.

use std::{sync::Arc, time::Duration};

use clipkeep_core::{
    config::Config,
    human,
    link::{Audience, LinkKeys, Revoked},
    time::{Clock, Timestamp},
};
use serde::Serialize;

use crate::{
    advice::{self, Advice},
    app,
    catalog::{Catalog, outbox::Backlog},
    clock::SystemClock,
    costs::{BudgetWatch, price_lists},
    custody::{self, NotOurs},
    data_dir::{self, Abandoned},
    error_text::error_text,
    ffmpeg::{Ffmpeg, Isolation},
    jwks::JwksCache,
    keys, tls,
};

/// A clock this far off breaks webhook signatures (300 s) soon, and S3 (900 s).
const MAX_SKEW_SECS: i64 = 30;

/// An endpoint that has not taken an event for longer needs somebody.
const LONG_WAIT: Duration = Duration::from_secs(3600);

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    /// It works, and will hurt later.
    Warning,
    /// Something does not work.
    Failed,
}

/// One check's result.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was looked at, in a word.
    pub check: &'static str,
    /// Whether it did not fail.
    pub ok: bool,
    pub level: Level,
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
}

impl Check {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, ok: true, level: Level::Ok, detail: detail.into(), hint: None }
    }

    fn failed(check: &'static str, detail: impl Into<String>, hint: &'static str) -> Self {
        Self { check, ok: false, level: Level::Failed, detail: detail.into(), hint: Some(hint) }
    }

    fn warning(Advice { about, what }: Advice) -> Self {
        Self { check: about, ok: true, level: Level::Warning, detail: what, hint: None }
    }
}

/// Checks everything; `opened` is the catalogue, or why there is none.
pub async fn collect(config: &Config, opened: Result<Arc<dyn Catalog>, String>) -> Vec<Check> {
    tls::choose_ring();
    let mut checks = vec![Check::ok("config", "read and understood"), secrets(config)];
    let (database, catalog) = database(opened).await;
    checks.push(database);
    if let Some(catalog) = &catalog {
        checks.extend(endpoints(config, &**catalog).await);
        checks.push(link_keys(config, &**catalog).await);
        checks.extend(advice::collect(config, &**catalog).await.into_iter().map(Check::warning));
    }
    checks.push(prices(config));
    checks.push(ffmpeg(config).await);
    checks.push(bucket(config, catalog.as_deref()).await);
    checks.extend(left_over(config));
    let (keys, date) = webhook_keys(config).await;
    checks.push(keys);
    checks.push(clock(date));
    checks
}

fn secrets(config: &Config) -> Check {
    match keys::load_or_create(config) {
        Ok(_) => Check::ok("secrets", "admin token and link keys are there"),
        Err(error) => Check::failed("secrets", error_text(&error), "make the folder `data` writable for this user"),
    }
}

async fn database(opened: Result<Arc<dyn Catalog>, String>) -> (Check, Option<Arc<dyn Catalog>>) {
    let hint = "see `database`: is the server up, do user and password fit, may this user create tables?";
    let opened = match opened {
        Ok(catalog) => catalog,
        Err(error) => return (Check::failed("database", error, hint), None),
    };
    match opened.ping().await {
        Ok(()) => (Check::ok("database", "opened, read and written"), Some(opened)),
        Err(error) => (Check::failed("database", error_text(&error), hint), None),
    }
}

/// What each endpoint has not taken, as the catalogue has it: nothing is sent.
async fn endpoints(config: &Config, catalog: &dyn Catalog) -> Vec<Check> {
    if config.event_endpoints.is_empty() {
        return Vec::new();
    }
    match catalog.count_deliveries().await {
        Ok(counts) => {
            let now = SystemClock.now();
            config.event_endpoints.iter().map(|endpoint| behind(endpoint.name(), &counts, now)).collect()
        }
        Err(error) => vec![Check::failed("events", error_text(&error), "see `database`")],
    }
}

fn behind(name: &str, counts: &[Backlog], now: Timestamp) -> Check {
    let Some(Backlog { waiting, parked, oldest, .. }) = counts.iter().find(|count| count.endpoint == name) else {
        return Check::ok("events", format!("{name}: nothing waits"));
    };
    let age = oldest.map(|oldest| now.since(oldest)).unwrap_or_default();
    let mut detail = format!("{name}: {waiting} waiting, {parked} parked");
    if *waiting > 0 && !age.is_zero() {
        detail.push_str(&format!(", the oldest not taken for {}", human::span(age)));
    }
    if *parked == 0 && age <= LONG_WAIT {
        return Check::ok("events", detail);
    }
    let hint = "`clipkeep events parked` and `waiting` say why; once the endpoint is mended, what waits goes by \
        itself, and what was parked with `clipkeep events replay --parked`";
    Check::failed("events", detail, hint)
}

/// Whether a key is left for each audience that may sign.
async fn link_keys(config: &Config, catalog: &dyn Catalog) -> Check {
    let hint = "put a new key in front of `link_keys` or `internal_link_keys`, on every node";
    let texts =
        [(Audience::Public, keys::link_keys_text(config)), (Audience::Internal, keys::internal_link_keys_text(config))];
    let revoked = match catalog.revocations(SystemClock.now()).await {
        Ok(told) => told.into_iter().fold(Revoked::default(), |mut revoked, one| {
            revoked.add(one);
            revoked
        }),
        Err(error) => return Check::failed("links", error_text(&error), "see `database`"),
    };
    for (audience, text) in texts {
        let keys = text.map_err(anyhow::Error::from);
        match keys.and_then(|text| Ok(LinkKeys::parse(text.expose(), audience)?)) {
            Ok(keys) if keys.may_sign(&revoked) => {}
            Ok(_) => return Check::failed("links", format!("all keys of {audience} links were revoked"), hint),
            Err(error) => return Check::failed("links", format!("{error:#}"), hint),
        }
    }
    Check::ok("links", "a key signs for each audience")
}

/// Whether the price lists can be read and the budgets name them.
fn prices(config: &Config) -> Check {
    let hint = "see `price_lists` and `budgets` in docs/costs.md";
    match price_lists(config).and_then(|lists| BudgetWatch::new(config, &lists).map(|_| lists.len())) {
        Ok(count) => Check::ok("prices", format!("{count} price lists")),
        Err(error) => Check::failed("prices", error_text(&error), hint),
    }
}

/// Whether ffprobe is there, and how well it is held in.
async fn ffmpeg(config: &Config) -> Check {
    let hint = "install ffmpeg (with ffprobe), see `ffmpeg`; or say `ffmpeg = \"off\"`";
    let Some(program) = &config.ffmpeg else { return Check::ok("ffmpeg", "off") };
    let Some(found) = Ffmpeg::find(program) else {
        let missing = format!("{} and ffprobe beside it are not here", program.display());
        return match program.components().count() {
            1 => Check::ok("ffmpeg", format!("{missing}: some facts of rarer formats stay empty")),
            _ => Check::failed("ffmpeg", missing, hint),
        };
    };
    let Isolation { own_root, own_spaces, unprivileged } = found.isolation().await;
    let walls =
        [(own_root, "no other files"), (own_spaces, "no network"), (unprivileged, "no privileges"), (true, "limits")];
    let walls: Vec<_> = walls.iter().filter(|(holds, _)| *holds).map(|(_, wall)| *wall).collect();
    Check::ok("ffmpeg", format!("{}, run with {}", found.ffprobe().display(), walls.join(", ")))
}

/// Whether the store is ours, and does what is asked of it.
async fn bucket(config: &Config, catalog: Option<&dyn Catalog>) -> Check {
    let hint = "see `store` and AWS_*: does the bucket exist, may this key list, put, get and delete in it?";
    let store = match app::store_at(config) {
        Ok(store) => store,
        Err(error) => return Check::failed("store", error_text(&error), hint),
    };
    if let Some(catalog) = catalog
        && let Err(error @ (NotOurs::Anothers { .. } | NotOurs::Bare)) = custody::look(catalog, &store).await
    {
        return Check::failed(
            "store",
            error.to_string(),
            "until then no node starts, and nothing is concluded from it",
        );
    }
    if let Err(error) = store.make().await {
        return Check::failed("store", error_text(&error), hint);
    }
    match store.probe().await {
        Ok(()) => Check::ok("store", "written, read and deleted a small object"),
        Err(error) => Check::failed("store", error_text(&error), hint),
    }
}

/// What killed commands left in the data folder, which goes by this.
fn left_over(config: &Config) -> Option<Check> {
    let Abandoned { folders, bytes } = data_dir::remove_abandoned(&config.data);
    let detail = || format!("removed what {folders} killed commands had left ({})", human::size(bytes));
    (folders > 0).then(|| Check::ok("data", detail()))
}

/// The keys, and the time their server says it is.
async fn webhook_keys(config: &Config) -> (Check, Option<i64>) {
    let hint = "see `fal_jwks_url`: can this machine reach it? Without keys no webhook is accepted";
    let client = match tls::client_builder().timeout(Duration::from_secs(15)).build() {
        Ok(client) => client,
        Err(error) => return (Check::failed("jwks", error_text(&error), hint), None),
    };
    let url = config.fal_jwks_url.to_string();
    let date = client.head(&url).send().await.ok().and_then(|response| {
        let text = response.headers().get("date")?.to_str().ok()?;
        let time = httpdate::parse_http_date(text).ok()?;
        time.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs().cast_signed())
    });
    match JwksCache::new(url, client).keys().await {
        Ok(keys) if keys.is_empty() => (Check::failed("jwks", "the set holds no Ed25519 key", hint), date),
        Ok(keys) => (Check::ok("jwks", format!("{} webhook keys", keys.len())), date),
        Err(error) => (Check::failed("jwks", error_text(&error), hint), date),
    }
}

fn clock(server: Option<i64>) -> Check {
    let Some(server) = server else {
        return Check::ok("clock", "not compared: the webhook key server gave no time");
    };
    let skew = SystemClock.now().secs() - server;
    if skew.abs() <= MAX_SKEW_SECS {
        return Check::ok("clock", format!("within {} s of the webhook key server's", skew.abs()));
    }
    let detail = format!("{skew} s off the webhook key server's");
    Check::failed("clock", detail, "set the clock (NTP): signatures of webhooks and S3 depend on it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_takes_nothing_for_more_than_an_hour_needs_somebody() {
        let first = Timestamp::from_secs(1_800_000_000);
        let after = |secs: i64, waiting, parked| {
            let count = Backlog { endpoint: "e".to_owned(), waiting, parked, oldest: (waiting > 0).then_some(first) };
            behind("e", &[count], Timestamp::from_secs(1_800_000_000 + secs))
        };
        assert!(after(3600, 3, 0).ok && !after(3601, 3, 0).ok);
        assert!(after(9999, 0, 0).ok && !after(0, 0, 1).ok);
        assert!(behind("other", &[], first).ok);
        assert!(after(3601, 3, 0).hint.is_some_and(|hint| hint.contains("clipkeep events parked")));
    }
}
