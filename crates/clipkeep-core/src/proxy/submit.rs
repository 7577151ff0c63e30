//! A submit: our webhook on its way there, its request id on the way back.

use serde::Deserialize;
use url::Url;

use crate::{config::BaseUrl, id::RequestId, percent};

const WEBHOOK: &str = "fal_webhook";

/// The query of a submit with `webhook` to be called, unless it names one.
pub fn with_webhook(query: Option<&str>, webhook: &str) -> String {
    let query = query.unwrap_or_default();
    // Whatever it says: that there shall be none is for the app to say, too.
    if query.split('&').any(names_webhook) {
        return query.to_owned();
    }
    added(query, webhook)
}

/// The same for somebody who may speak for one tenant alone: a webhook that
/// leads to our own hooks, at `public_url`, could name another in its query. So
/// `webhook`, which tells the same facts and the right tenant, takes its place.
pub fn with_own_webhook(query: Option<&str>, webhook: &str, public_url: &BaseUrl) -> String {
    let leads_to_us = |pair: &str| {
        let value = pair.split_once('=').map_or("", |(_, value)| value);
        names_webhook(pair) && percent::decode_query(value).is_some_and(|url| is_own_hook(&url, public_url))
    };
    let given = query.unwrap_or_default();
    if !given.split('&').any(leads_to_us) {
        return with_webhook(query, webhook);
    }
    // Which one of several counts is for fal to say: ours is the only one.
    let others: Vec<&str> = given.split('&').filter(|pair| !names_webhook(pair)).collect();
    added(&others.join("&"), webhook)
}

fn names_webhook(pair: &str) -> bool {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    percent::decode_query(name).is_none_or(|name| name == WEBHOOK)
}

/// Whether a URL leads to our hooks, by whichever scheme, and however its path
/// is written.
fn is_own_hook(url: &str, public_url: &BaseUrl) -> bool {
    let (Ok(url), own) = (Url::parse(url.trim()), public_url.to_url()) else { return false };
    let host = |url: &Url| url.host_str().map(|host| host.trim_end_matches('.').to_owned());
    let ports = |url: &Url| url.port().unwrap_or_default();
    if host(&url) != host(&own) || ports(&url) != ports(&own) {
        return false;
    }
    let path = percent::decode_query(url.path()).unwrap_or_default().to_ascii_lowercase();
    let segments =
        |path: &str| -> Vec<String> { path.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect() };
    let mut hooks = segments(&own.path().to_ascii_lowercase());
    hooks.push("hooks".to_owned());
    segments(&path).starts_with(&hooks)
}

fn added(query: &str, webhook: &str) -> String {
    let mut query = query.to_owned();
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(WEBHOOK);
    query.push('=');
    percent::encode(webhook, &mut query);
    query
}

/// What fal answers to a submit, as far as it is read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Submitted {
    pub request_id: RequestId,
}

impl Submitted {
    /// Reads the reply's body; `None` if it names no generation.
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_that_leads_to_us_makes_place_for_ours() {
        let public_url = BaseUrl::parse("https://clips.example.com/keep").unwrap();
        let ours = "https://clips.example.com/keep/hooks/fal?tenant=acme";
        let with = |url: &str| {
            let mut query = "a=1&fal_webhook=".to_owned();
            percent::encode(url, &mut query);
            (with_own_webhook(Some(&query), ours, &public_url), query)
        };
        let mut replaced = "a=1&fal_webhook=".to_owned();
        percent::encode(ours, &mut replaced);
        for own in [
            "https://clips.example.com/keep/hooks/fal?tenant=beta",
            "http://user@CLIPS.example.com./keep//hooks/fal?tenant=beta",
            "https://clips.example.com:443/keep/x/../%68ooks/fal",
            " https://clips.example.com/keep/hooks",
        ] {
            assert_eq!(with(own).0, replaced, "{own}");
        }
        for other in ["https://app.example.com/keep/hooks/fal", "https://clips.example.com/hooks/fal", "nonsense", ""] {
            let (query, given) = with(other);
            assert_eq!(query, given, "{other}");
        }
        let twice = format!("fal_webhook=https%3A%2F%2Fa.example&b=2&{}", replaced);
        assert_eq!(with_own_webhook(Some(&twice), ours, &public_url), format!("b=2&{replaced}"));
        assert_eq!(with_own_webhook(Some("a=1"), ours, &public_url), replaced);
        assert_eq!(with_webhook(Some("a=1"), ours), replaced);
    }
}
