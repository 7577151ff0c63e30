//! Text → checked value, for the kinds that have no type of their own.
//!
//! A parser's error says what is wrong and never quotes the text.

use std::{net::SocketAddr, time::Duration};

use url::Url;

use crate::{
    cost::{Budget, BudgetFor, GenerationPrice, Money, is_currency},
    endpoint::Endpoint,
    id::{Provider, Tenant},
    lifetime::LifetimeRule,
    link::{Audience, LinkKeys},
    policy::{Policy, PolicyRule},
    receipt::ReceiptKey,
    retention::RetentionRule,
    secret::Secret,
    standard_webhook::EventSecret,
};

use super::DurationText;

/// What is wrong with a value, in words.
pub(super) type Problem = String;

/// The entries of a list that is written with commas.
pub(super) fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// Each entry parsed; the problem names the first bad one by its place.
pub(super) fn list<T>(text: &str, parse: impl Fn(&str) -> Result<T, Problem>) -> Result<Vec<T>, Problem> {
    let numbered = entries(text).enumerate();
    numbered.map(|(at, entry)| parse(entry).map_err(|problem| format!("entry {} {problem}", at + 1))).collect()
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| "must be an IP address and a port".to_owned())
}

/// Empty is none.
pub(super) fn listen_or_none(text: &str) -> Result<Option<SocketAddr>, Problem> {
    match text.trim() {
        "" => Ok(None),
        text => listen(text).map(Some),
    }
}

pub(super) fn folder(text: &str) -> Result<std::path::PathBuf, Problem> {
    match text {
        "" => Err("must not be empty".to_owned()),
        _ if text.contains('\0') => Err("must not hold a zero byte".to_owned()),
        _ => Ok(text.into()),
    }
}

/// A program by path or name; `off` is none.
pub(super) fn program(text: &str) -> Result<Option<std::path::PathBuf>, Problem> {
    if text.trim() == "off" { Ok(None) } else { folder(text).map(Some) }
}

pub(super) fn boolean(text: &str) -> Result<bool, Problem> {
    text.trim().parse().map_err(|_| "must be true or false".to_owned())
}

/// A secret of at least `least` visible ASCII characters; empty is none.
pub(super) fn secret(text: &str, least: usize) -> Result<Option<Secret<String>>, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must hold visible ASCII characters only".to_owned());
    }
    if text.len() < least {
        return Err(format!("must have {least} or more characters"));
    }
    Ok(Some(Secret::new(text.to_owned())))
}

/// An http or https URL with a host and without credentials or fragment.
pub(crate) fn web_url(text: &str) -> Result<Url, Problem> {
    let url = Url::parse(text.trim()).map_err(|_| "must be a URL with its scheme".to_owned())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must start with http:// or https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password".to_owned());
    }
    if url.fragment().is_some() {
        return Err("must not hold a fragment".to_owned());
    }
    Ok(url)
}

/// URLs that are told of events, none of them twice.
pub(super) fn endpoints(text: &str) -> Result<Vec<Endpoint>, Problem> {
    let endpoints = list(text, |entry| entry.parse::<Endpoint>())?;
    let twice = |(at, one): (usize, &Endpoint)| endpoints[..at].iter().any(|other| other.name() == one.name());
    match endpoints.iter().enumerate().position(twice) {
        Some(at) => Err(format!("entry {} stands there twice", at + 1)),
        None => Ok(endpoints),
    }
}

/// The secret that signs events; empty is none.
pub(super) fn event_secret(text: &str) -> Result<Option<Secret<String>>, Problem> {
    let secret = secret(text, 1)?;
    let checked = secret.as_ref().map(|secret| secret.expose().parse::<EventSecret>()).transpose();
    checked.map(|_| secret).map_err(|error| error.to_string())
}

/// The key that signs receipts; empty is none.
pub(super) fn receipt_key(text: &str) -> Result<Option<Secret<String>>, Problem> {
    let secret = secret(text, 1)?;
    let checked = secret.as_ref().map(|secret| secret.expose().parse::<ReceiptKey>()).transpose();
    checked.map(|_| secret).map_err(|error| error.to_string())
}

/// The keys that sign an audience's links; empty is none.
pub(super) fn link_keys(text: &str, audience: Audience) -> Result<Option<Secret<String>>, Problem> {
    let secret = Some(text.trim()).filter(|text| !text.is_empty()).map(|text| Secret::new(text.to_owned()));
    let checked = secret.as_ref().map(|secret| LinkKeys::parse(secret.expose(), audience)).transpose();
    checked.map(|_| secret).map_err(|error| error.to_string())
}

/// `model=PATTERN:POLICY` or `tenant=NAME:POLICY`.
pub(super) fn policy_rule(text: &str) -> Result<PolicyRule, Problem> {
    let shape = || "must look like model=PATTERN:POLICY or tenant=NAME:POLICY".to_owned();
    let (selector, policy) = text.rsplit_once(':').ok_or_else(shape)?;
    let policy: Policy = policy.trim().parse().map_err(|error| format!("names no policy: it {error}"))?;
    match selector.split_once('=').map(|(what, name)| (what.trim(), name.trim())) {
        Some((_, "")) => Err(shape()),
        Some(("model", pattern)) => Ok(PolicyRule { model: Some(pattern.to_owned()), tenant: None, policy }),
        Some(("tenant", name)) => {
            let tenant: Tenant = name.parse().map_err(|error| format!("is not right: {error}"))?;
            Ok(PolicyRule { model: None, tenant: Some(tenant), policy })
        }
        _ => Err(shape()),
    }
}

/// An age that is not nothing; `never` is none.
fn age(text: &str) -> Result<Option<Duration>, Problem> {
    if text.trim() == "never" {
        return Ok(None);
    }
    match text.trim().parse::<DurationText>().map_err(|error| format!("has an age that {error}"))?.into() {
        Duration::ZERO => Err("has an age of nothing".to_owned()),
        age => Ok(Some(age)),
    }
}

/// `provider=NAME:AGE` or `model=PATTERN:AGE`; an age may be `never`.
pub(super) fn lifetime_rule(text: &str) -> Result<LifetimeRule, Problem> {
    let shape = || "must look like provider=NAME:24h or model=PATTERN:7d".to_owned();
    let (selector, text) = text.rsplit_once(':').ok_or_else(shape)?;
    let age = age(text)?;
    match selector.split_once('=').map(|(what, name)| (what.trim(), name.trim())) {
        Some((_, "")) => Err(shape()),
        Some(("model", pattern)) => Ok(LifetimeRule { provider: None, model: Some(pattern.to_owned()), age }),
        Some(("provider", name)) => {
            let provider: Provider = name.parse().map_err(|error| format!("is not right: {error}"))?;
            Ok(LifetimeRule { provider: Some(provider), model: None, age })
        }
        _ => Err(shape()),
    }
}

/// `tenant=NAME:AGE`, `model=PATTERN:AGE` or `*:AGE`; an age may be `never`.
pub(super) fn retention_rule(text: &str) -> Result<RetentionRule, Problem> {
    let shape = || "must look like tenant=NAME:30d, model=PATTERN:90d or *:365d".to_owned();
    let (selector, text) = text.rsplit_once(':').ok_or_else(shape)?;
    let age = age(text)?;
    match selector.split_once('=').map(|(what, name)| (what.trim(), name.trim())) {
        None if selector.trim() == "*" => Ok(RetentionRule { model: None, tenant: None, age }),
        Some((_, "")) | None => Err(shape()),
        Some(("model", pattern)) => Ok(RetentionRule { model: Some(pattern.to_owned()), tenant: None, age }),
        Some(("tenant", name)) => {
            let tenant: Tenant = name.parse().map_err(|error| format!("is not right: {error}"))?;
            Ok(RetentionRule { model: None, tenant: Some(tenant), age })
        }
        Some(_) => Err(shape()),
    }
}

pub(super) fn currency(text: &str) -> Result<String, Problem> {
    if is_currency(text) { Ok(text.to_owned()) } else { Err("must be three capital letters such as USD".to_owned()) }
}

pub(super) fn generation_price(text: &str) -> Result<GenerationPrice, Problem> {
    let shape = || "must look like model=PATTERN:0.05 or model=PATTERN:0.40/s".to_owned();
    let (model, price) = text.strip_prefix("model=").and_then(|rest| rest.rsplit_once(':')).ok_or_else(shape)?;
    let (amount, per_second) = price.strip_suffix("/s").map_or((price, false), |amount| (amount, true));
    let price = amount.trim().parse().map_err(|_| "has an amount that is none; it looks like 0.05".to_owned())?;
    if model.is_empty() { Err(shape()) } else { Ok(GenerationPrice { model: model.to_owned(), price, per_second }) }
}

/// What each may spend on a list is said once, and never after what overrules it.
pub(super) fn budgets(text: &str) -> Result<Vec<Budget>, Problem> {
    let budgets = list(text, budget)?;
    for (at, one) in budgets.iter().enumerate() {
        let Some(before) = budgets[..at].iter().find(|before| before.overrules(one)) else { continue };
        return Err(match before.of == one.of {
            true => format!("says twice what {} may spend on {}", one.of, one.list),
            false => format!(
                "names {} on {} after {}, which overrules it; hint: put {} first",
                one.of, one.list, before.of, one.of
            ),
        });
    }
    Ok(budgets)
}

/// `all:AMOUNT@LIST`, `tenant=NAME:AMOUNT@LIST` or `tenant=*:AMOUNT@LIST`.
fn budget(text: &str) -> Result<Budget, Problem> {
    let shape = || "must look like all:500@LIST, tenant=NAME:50@LIST or tenant=*:5@LIST".to_owned();
    let (rest, list) = text.rsplit_once('@').ok_or_else(shape)?;
    let (of, amount) = rest.rsplit_once(':').ok_or_else(shape)?;
    let of = match of.split_once('=').map(|(what, name)| (what.trim(), name.trim())) {
        None if of.trim() == "all" => BudgetFor::All,
        Some(("tenant", "*")) => BudgetFor::EachTenant,
        Some(("tenant", name)) => BudgetFor::Tenant(name.parse().map_err(|error| format!("is not right: {error}"))?),
        _ => return Err(shape()),
    };
    let amount: Money =
        amount.trim().parse().map_err(|_| "has an amount that is none; it looks like 500".to_owned())?;
    match list.trim() {
        "" => Err(shape()),
        _ if amount == Money::ZERO => Err("has an amount of nothing".to_owned()),
        list => Ok(Budget { of, amount, list: list.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_says_for_whom_how_much_and_on_which_list() {
        let budget = |text| budget(text).map(|budget| (budget.of.to_string(), budget.amount.to_string(), budget.list));
        let right = |of: &str, amount: &str, list: &str| Ok((of.to_owned(), amount.to_owned(), list.to_owned()));
        assert_eq!(budget("all:500@r2"), right("all", "500.00", "r2"));
        assert_eq!(budget("tenant=org:acme:0.05@r2"), right("tenant=org:acme", "0.05", "r2"));
        assert_eq!(budget("tenant=* : 5 @ r2"), right("tenant=*", "5.00", "r2"));
        for bad in [
            "",
            "5",
            "all:5",
            "all:5@",
            "all:0@r2",
            "all:-1@r2",
            "all:x@r2",
            "tenant=:5@r2",
            "tenant=a b:5@r2",
            "m=x:5@r2",
        ] {
            assert!(budget(bad).is_err(), "{bad:?}");
        }
        assert_eq!(budgets("all:5@r2, all:5@s3, tenant=a:5@s3, tenant=*:5@s3, tenant=b:5@r2").unwrap().len(), 5);
        let overruled = "names tenant=a on s3 after tenant=*, which overrules it; hint: put tenant=a first";
        assert_eq!(budgets("tenant=*:5@s3, all:9@s3, tenant=a:7@s3"), Err(overruled.to_owned()));
        assert_eq!(budgets("all:5@r2, all:6@r2"), Err("says twice what all may spend on r2".to_owned()));
    }

    #[test]
    fn a_rule_of_retention_names_whom_it_fits_and_an_age() {
        let days = |days: u64| Some(Duration::from_secs(days * 24 * 3600));
        let rule = retention_rule("model=fal-ai/veo3*:90d").unwrap();
        assert_eq!((rule.model.as_deref(), rule.age), (Some("fal-ai/veo3*"), days(90)));
        let rule = retention_rule("tenant=org:acme:never").unwrap();
        assert_eq!((rule.tenant.unwrap().as_str(), rule.age), ("org:acme", None));
        assert_eq!(retention_rule("*:365d").unwrap(), RetentionRule { model: None, tenant: None, age: days(365) });
        for bad in ["", "30d", "model=:30d", "model=x:soon", "*:0s", "clip=x:30d", "tenant=a b:30d", "x:30d"] {
            assert!(retention_rule(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_lifetime_is_a_providers_or_a_models() {
        let rule = lifetime_rule("provider=luma:24h").unwrap();
        assert_eq!((rule.provider.unwrap().as_str(), rule.age), ("luma", Some(Duration::from_secs(86_400))));
        let rule = lifetime_rule("model=fal-ai/*:never").unwrap();
        assert_eq!((rule.model.as_deref(), rule.age), (Some("fal-ai/*"), None));
        for bad in ["", "24h", "provider=:24h", "provider=a b:24h", "model=x:soon", "model=x:0s", "tenant=x:1h", "*:1h"]
        {
            assert!(lifetime_rule(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_generation_price_is_for_each_or_for_a_second() {
        let price = generation_price("model=fal-ai/veo3:fast*:0.40/s").unwrap();
        assert_eq!(
            (price.model.as_str(), price.price.to_string(), price.per_second),
            ("fal-ai/veo3:fast*", "0.40".into(), true)
        );
        assert!(!generation_price("model=*:1").unwrap().per_second);
        for bad in ["", "model=:1", "*:1", "model=m:-1", "model=m:1/h", "model=m:1e2", "tenant=a:1"] {
            assert!(generation_price(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rule_names_a_model_or_a_tenant() {
        let rule = policy_rule("model=fal-ai/veo3*:deferred").unwrap();
        assert_eq!((rule.model.as_deref(), rule.policy), (Some("fal-ai/veo3*"), Policy::Deferred));
        let rule = policy_rule("tenant=org:acme:on_demand").unwrap();
        assert_eq!(rule.tenant.unwrap().as_str(), "org:acme");
        for bad in ["", "eager", "model=:eager", "model=x:soon", "clip=x:eager", "tenant=a b:eager", "model:eager"] {
            assert!(policy_rule(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_list_names_the_bad_entry_by_its_place() {
        let problem = list("model=a:eager, tenant=b", policy_rule).unwrap_err();
        assert!(problem.starts_with("entry 2 must look like"), "{problem}");
        assert_eq!(list(" , ,", policy_rule), Ok(vec![]));
    }

    #[test]
    fn web_urls_hold_no_credentials() {
        for bad in ["clips.example.com", "ftp://x", "https://u:p@x", "https://u@x", "https://x/#f", "https://", "/x"] {
            assert!(web_url(bad).is_err(), "{bad}");
        }
        assert!(web_url("http://[::1]:8787").is_ok());
    }

    #[test]
    fn a_short_or_unprintable_secret_is_refused_and_an_empty_one_is_none() {
        assert_eq!(secret(" ", 16), Ok(None));
        assert!(secret("fifteen-letters", 16).is_err());
        assert!(secret("sixteen letters!!", 16).is_err());
        assert_eq!(secret("sixteen-letters!\n", 16), Ok(Some(Secret::new("sixteen-letters!".to_owned()))));
    }

    #[test]
    fn endpoints_are_named_once_and_their_secret_is_of_its_form() {
        assert_eq!(endpoints("https://a.example/x, http://127.0.0.1:1/").unwrap().len(), 2);
        let twice = endpoints("https://a.example/x, https://b.example, https://a.example/x").unwrap_err();
        assert_eq!(twice, "entry 3 stands there twice");
        assert!(endpoints("https://a.example, hunter2").unwrap_err().starts_with("entry 2 must be a URL"));
        assert_eq!(event_secret(""), Ok(None));
        assert!(event_secret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap().is_some());
        assert!(event_secret("whsec_AAEC").is_err() && event_secret("hunter2").is_err());
        assert_eq!(receipt_key(" "), Ok(None));
        assert_eq!(receipt_key("AAEC"), Err("must be 32 bytes in base64".to_owned()));
    }
}
