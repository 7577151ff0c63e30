//! `clipkeep doctor`: checks everything a node needs, and says how to mend it.

use std::{process::ExitCode, time::Duration};

use clipkeep_core::{config::Config, time::Clock};
use serde::Serialize;

use super::output;
use crate::{app, catalog, clock::SystemClock, jwks::JwksCache, keys, tls};

/// A clock this far off breaks webhook signatures (300 s) soon, and S3 (900 s).
const MAX_SKEW_SECS: i64 = 30;

/// One check's result.
#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    ok: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

impl Check {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, ok: true, detail: detail.into(), hint: None }
    }

    fn failed(check: &'static str, detail: impl Into<String>, hint: &'static str) -> Self {
        Self { check, ok: false, detail: detail.into(), hint: Some(hint) }
    }
}

pub(super) async fn run(config: Config, as_json: bool) -> anyhow::Result<ExitCode> {
    tls::choose_ring();
    let mut checks = vec![Check::ok("config", "read and understood"), secrets(&config)];
    checks.push(database(&config).await);
    checks.push(bucket(&config).await);
    let (keys, date) = webhook_keys(&config).await;
    checks.push(keys);
    checks.push(clock(date));
    let all_ok = checks.iter().all(|check| check.ok);
    if as_json {
        output::json(&serde_json::json!({"ok": all_ok, "checks": checks}))?;
    } else {
        for check in &checks {
            output::line(format!("{} {:<9} {}", if check.ok { "ok  " } else { "FAIL" }, check.check, check.detail));
            if let Some(hint) = check.hint {
                output::line(format!("     hint: {hint}"));
            }
        }
    }
    Ok(if all_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn secrets(config: &Config) -> Check {
    match keys::load_or_create(config) {
        Ok(_) => Check::ok("secrets", "admin token and link keys are there"),
        Err(error) => Check::failed("secrets", chain(&error), "make the folder `data` writable for this user"),
    }
}

async fn database(config: &Config) -> Check {
    let hint = "see `database`: is the server up, do user and password fit, may this user create tables?";
    let opened = match catalog::open::open_configured(config).await {
        Ok(catalog) => catalog,
        Err(error) => return Check::failed("database", chain(&error), hint),
    };
    match opened.ping().await {
        Ok(()) => Check::ok("database", "opened, read and written"),
        Err(error) => Check::failed("database", chain(&error), hint),
    }
}

async fn bucket(config: &Config) -> Check {
    let hint = "see `store` and AWS_*: does the bucket exist, may this key list, put, get and delete in it?";
    let store = match app::open_store(config).await {
        Ok(store) => store,
        Err(error) => return Check::failed("store", chain(&error), hint),
    };
    match store.probe().await {
        Ok(()) => Check::ok("store", "written, read and deleted a small object"),
        Err(error) => Check::failed("store", chain(&error), hint),
    }
}

/// The keys, and the time their server says it is.
async fn webhook_keys(config: &Config) -> (Check, Option<i64>) {
    let hint = "see `fal_jwks_url`: can this machine reach it? Without keys no webhook is accepted";
    let client = match tls::client_builder().timeout(Duration::from_secs(15)).build() {
        Ok(client) => client,
        Err(error) => return (Check::failed("jwks", chain(&error), hint), None),
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
        Err(error) => (Check::failed("jwks", chain(&error), hint), date),
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

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
