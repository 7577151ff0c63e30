//! Layers → [`Config`]: each key's text, or its default, through its parser.

use std::{str::FromStr, time::Duration};

use super::{
    BaseUrl, Config, ConfigErrors, DurationText, Key, Kind, Layers, S3Settings, SizeText, StoreUrl, UrlTemplate,
    error::{ConfigError, Origin},
    parse::{self, Problem},
    raw::Given,
};
use crate::{
    cost::GenerationPrices, lifetime::SourceLifetimes, link::Audience, policy::Policies, retention::Retention,
};

pub(super) fn config(layers: Layers) -> Result<Config, ConfigErrors> {
    let mut read = Reader { layers };
    let public_url = read.value("public_url", BaseUrl::parse);
    let store = read.value("store", parsed);
    let fill_concurrency = read.count("fill_concurrency");
    let final_url_template = read.value("final_url_template", |text| UrlTemplate::parse(text, &public_url));
    let config = Config {
        listen: read.value("listen", parse::listen),
        data: read.value("data", parse::folder),
        database: read.value("database", parsed),
        s3: read.s3(&store),
        store,
        share_objects: read.share_objects(&final_url_template, &public_url),
        final_url_template,
        public_url,
        policies: Policies {
            default: read.value("policy", parsed),
            deferred_after: read.duration("deferred_after"),
            rules: read.value("policies", |text| parse::list(text, parse::policy_rule)),
        },
        retention: Retention { rules: read.value("retention", |text| parse::list(text, parse::retention_rule)) },
        prompts: read.value("prompts", parsed),
        public: read.value("public", parse::boolean),
        admin_token: read.value("admin_token", |text| parse::secret(text, 16)),
        link_keys: read.value("link_keys", |text| parse::link_keys(text, Audience::Public)),
        internal_link_keys: read.value("internal_link_keys", |text| parse::link_keys(text, Audience::Internal)),
        link_window: read.duration("link_window"),
        link_ttl: read.duration("link_ttl"),
        link_max_ttl: read.duration("link_max_ttl"),
        internal_link_max_ttl: read.duration("internal_link_max_ttl"),
        source_hosts: read.value("source_hosts", |text| parse::list(text, parsed)),
        source_allow_private: read.value("source_allow_private", parse::boolean),
        source_allow_http: read.value("source_allow_http", parse::boolean),
        source_connect_timeout: read.duration("source_connect_timeout"),
        source_first_byte_timeout: read.duration("source_first_byte_timeout"),
        source_stall_timeout: read.duration("source_stall_timeout"),
        source_lifetimes: SourceLifetimes {
            rules: read.value("source_lifetimes", |text| parse::list(text, parse::lifetime_rule)),
            general: read.duration_or_never("source_expires_after"),
        },
        fal_key: read.value("fal_key", |text| parse::secret(text, 1)),
        fal_queue_url: read.value("fal_queue_url", BaseUrl::parse),
        fal_run_url: read.value("fal_run_url", BaseUrl::parse),
        fal_rest_url: read.value("fal_rest_url", BaseUrl::parse),
        fal_api_url: read.value("fal_api_url", BaseUrl::parse),
        fal_gateway_listen: read.value("fal_gateway_listen", parse::listen_or_none),
        proxy_networks: read.value("proxy_networks", |text| parse::list(text, parsed)),
        proxy_hosts: read.value("proxy_hosts", |text| parse::list(text, parsed)),
        rewrite_results: read.value("rewrite_results", parse::boolean),
        fal_jwks_url: read.value("fal_jwks_url", parse::web_url),
        fal_user_ids: read.value("fal_user_ids", |text| parse::list(text, |id| Ok(id.to_owned()))),
        replicate_webhook_secret: read.value("replicate_webhook_secret", |text| parse::list(text, parsed)),
        replicate_token: read.value("replicate_token", |text| parse::secret(text, 1)),
        replicate_api_url: read.value("replicate_api_url", BaseUrl::parse),
        standard_webhook_secrets: read.value("standard_webhook_secrets", |text| parse::list(text, parsed)),
        event_endpoints: read.value("event_endpoints", parse::endpoints),
        event_secret: read.value("event_secret", parse::event_secret),
        receipt_key: read.value("receipt_key", parse::receipt_key),
        hook_tolerance: read.duration("hook_tolerance"),
        hook_max_body: read.size("hook_max_body"),
        max_clip_size: read.size("max_clip_size"),
        backfill_concurrency: read.count_or_half("backfill_concurrency", fill_concurrency),
        backfill_rate: read.rate("backfill_rate"),
        fill_concurrency,
        fill_connections: read.count("fill_connections"),
        source_connections: read.count("source_connections"),
        source_connections_per_host: read.count("source_connections_per_host"),
        fill_memory: read.size("fill_memory"),
        lease: read.duration("lease"),
        retry_base: read.duration("retry_base"),
        retry_max: read.duration("retry_max"),
        not_found_attempts: read.count("not_found_attempts"),
        not_found_timeout: read.duration("not_found_timeout"),
        lost_after: read.duration("lost_after"),
        shutdown_grace: read.duration("shutdown_grace"),
        cache_size: read.size("cache_size"),
        fast_start: read.value("fast_start", parse::boolean),
        console: read.value("console", parse::boolean),
        ffmpeg: read.value("ffmpeg", parse::program),
        sweep_interval: read.duration("sweep_interval"),
        poll_after: read.duration("poll_after"),
        poll_timeout: read.duration("poll_timeout"),
        at_risk_before: read.duration("at_risk_before"),
        drift_interval: read.duration("drift_interval"),
        events_keep: read.duration("events_keep"),
        history_keep: read.duration("history_keep"),
        usage_hourly_keep: read.duration("usage_hourly_keep"),
        adopt_within: read.duration("adopt_within"),
        price_lists: read.value("price_lists", |text| parse::list(text, parse::folder)),
        generation_prices: GenerationPrices {
            currency: read.value("generation_currency", parse::currency),
            prices: read.value("generation_prices", |text| parse::list(text, parse::generation_price)),
        },
        budgets: read.value("budgets", parse::budgets),
        proxy_disk: read.size("proxy_disk"),
        log_format: read.value("log_format", parsed),
        max_connections: read.count("max_connections"),
        send_timeout: read.duration("send_timeout"),
        body_timeout: read.duration("body_timeout"),
        keep_alive: read.duration("keep_alive"),
        hook_memory: read.size("hook_memory"),
        drain: read.duration("drain"),
    };
    read.finish(config)
}

fn parsed<T: FromStr<Err: ToString>>(text: &str) -> Result<T, Problem> {
    text.trim().parse().map_err(|error: T::Err| error.to_string())
}

struct Reader {
    layers: Layers,
}

impl Reader {
    /// The value of a key. If its text is refused, that is noted, and the
    /// key's example stands in, so that the other keys are looked at too.
    fn value<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, Problem>) -> T {
        let key = Key::named(name).expect("the reader asks for keys of the table only");
        let Given { text, origin } = self.given(key);
        parse(&text).unwrap_or_else(|problem| {
            self.layers.errors.push(ConfigError::bad(key, origin, problem));
            parse(key.example).expect("each key's example is a right value")
        })
    }

    fn given(&self, key: &Key) -> Given {
        let given = |key: &Key| self.layers.values.get(key.name).cloned();
        given(key).unwrap_or_else(|| Given {
            text: default_text(key, |other| given(other).map_or(other.default.to_owned(), |given| given.text)),
            origin: Origin::Default,
        })
    }

    /// Shared objects have one name for several clips: only our own `/v/` knows.
    fn share_objects(&mut self, template: &UrlTemplate, public_url: &BaseUrl) -> bool {
        self.value("share_objects", |text| match text.trim() {
            "auto" => Ok(template.is_ours(public_url)),
            "true" if template.leads_past_us() => Err("cannot be on while final_url_template leads past our own /v/: \
                     each clip's key must be in the bucket then"
                .to_owned()),
            text => parse::boolean(text).map_err(|_| "must be auto, true or false".to_owned()),
        })
    }

    fn duration(&mut self, name: &str) -> Duration {
        let Some(Kind::Duration(least, most)) = kind(name) else { unreachable!("{name} is a duration") };
        self.value(name, |text| bounded::<DurationText>(text, least, most)).0
    }

    fn duration_or_never(&mut self, name: &str) -> Option<Duration> {
        let Some(Kind::DurationOrNever(least, most)) = kind(name) else { unreachable!("{name} is one or never") };
        self.value(name, |text| match text.trim() {
            "never" => Ok(None),
            text => bounded::<DurationText>(text, least, most).map(|duration| Some(duration.0)),
        })
    }

    fn size(&mut self, name: &str) -> u64 {
        let Some(Kind::Size(least, most)) = kind(name) else { unreachable!("{name} is a size") };
        self.value(name, |text| bounded::<SizeText>(text, least, most)).0
    }

    fn rate(&mut self, name: &str) -> Option<u64> {
        let Some(Kind::Rate(least, most)) = kind(name) else { unreachable!("{name} is a rate") };
        self.value(name, |text| match text.trim() {
            "unlimited" => Ok(None),
            text => bounded::<SizeText>(text, least, most).map(|size| Some(size.0)),
        })
    }

    fn count<T: TryFrom<u64>>(&mut self, name: &str) -> T {
        let Some(Kind::Count(least, most)) = kind(name) else { unreachable!("{name} is a count") };
        self.value(name, |text| counted(text, least, most))
    }

    /// A count that is no more than `whole`, or the half of it.
    fn count_or_half(&mut self, name: &str, whole: usize) -> usize {
        let Some(Kind::CountOrHalf(least, most)) = kind(name) else { unreachable!("{name} is a count or half") };
        self.value(name, |text| match text.trim() {
            "half" => Ok(whole.div_ceil(2)),
            text => counted::<usize>(text, least, most).map(|count| count.min(whole)),
        })
    }

    /// What `AWS_*` says counts, and is checked, only for a bucket: on many
    /// machines it is there for other reasons.
    fn s3(&mut self, store: &StoreUrl) -> S3Settings {
        match store {
            StoreUrl::S3 { .. } => S3Settings::read(&self.layers.aws, &mut self.layers.errors),
            StoreUrl::Folder(_) => S3Settings::read(&Default::default(), &mut Vec::new()),
        }
    }

    fn finish(mut self, config: Config) -> Result<Config, ConfigErrors> {
        if self.layers.errors.is_empty() {
            self.check_together(&config);
        }
        match self.layers.errors {
            errors if errors.is_empty() => Ok(config),
            errors => Err(ConfigErrors(errors)),
        }
    }

    /// What no key can know alone.
    fn check_together(&mut self, config: &Config) {
        let seconds = [
            ("link_window", config.link_window),
            ("link_ttl", config.link_ttl),
            ("link_max_ttl", config.link_max_ttl),
            ("internal_link_max_ttl", config.internal_link_max_ttl),
            ("hook_tolerance", config.hook_tolerance),
        ];
        for (name, duration) in seconds {
            self.require(name, duration.subsec_nanos() == 0, "must be whole seconds");
        }
        self.require("link_ttl", config.link_ttl <= config.link_max_ttl, "must not be longer than link_max_ttl");
        self.require("retry_base", config.retry_base <= config.retry_max, "must not be longer than retry_max");
    }

    fn require(&mut self, name: &str, holds: bool, problem: &str) {
        let Some(key) = Key::named(name).filter(|_| !holds) else { return };
        let origin = self.given(key).origin;
        self.layers.errors.push(ConfigError::bad(key, origin, problem));
    }
}

/// A key's default, with `text_of` those keys that it builds on.
pub(super) fn default_text(key: &Key, text_of: impl Fn(&Key) -> String) -> String {
    let bases = ["data", "listen"].into_iter().filter_map(Key::named);
    bases.fold(key.default.to_owned(), |text, base| text.replace(&format!("{{{}}}", base.name), &text_of(base)))
}

fn kind(name: &str) -> Option<Kind> {
    Key::named(name).map(|key| key.kind)
}

fn counted<T: TryFrom<u64>>(text: &str, least: u64, most: u64) -> Result<T, Problem> {
    let count = text.trim().parse::<u64>().ok().filter(|count| (least..=most).contains(count));
    let count = count.and_then(|count| T::try_from(count).ok());
    count.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
}

fn bounded<T>(text: &str, least: &str, most: &str) -> Result<T, Problem>
where
    T: FromStr<Err: ToString> + PartialOrd,
{
    let value: T = parsed(text)?;
    let (low, high): (T, T) = (parsed(least)?, parsed(most)?);
    if (low..=high).contains(&value) { Ok(value) } else { Err(format!("must be from {least} to {most}")) }
}
