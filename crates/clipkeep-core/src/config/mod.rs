//! The configuration: [`Layers`] as given, [`Config`] as checked.
//!
//! Reading files and the environment is another crate's; here is only what the
//! text means. All that is wrong is reported together, each with its key, its
//! place and a right value.

#[cfg(test)]
mod docs;
mod error;
mod host;
mod key;
#[cfg(test)]
mod key_names;
mod network;
mod parse;
mod place;
mod raw;
mod read;
#[cfg(test)]
mod tests;
mod units;
mod warning;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub use error::{ConfigError, ConfigErrors, Origin};
pub use host::{HostPattern, HostPatternError};
pub use key::{ENV_PREFIX, KEYS, Key, Kind, is_reserved_env};
pub use network::{Network, NetworkError};
pub(crate) use parse::web_url;
pub use place::{BaseUrl, DatabaseUrl, PlaceError, S3Settings, StoreUrl, UrlTemplate};
pub use raw::Layers;
pub use units::{DurationText, SizeText, UnitError};
pub use warning::Warning;

use crate::{
    cost::{Budget, GenerationPrices},
    endpoint::Endpoint,
    hook::standard::{NamedKey, WebhookKey},
    lifetime::SourceLifetimes,
    policy::Policies,
    retention::Retention,
    secret::Secret,
    state::text_enum,
};

text_enum! {
    /// What is kept of a prompt.
    Prompts {
        /// Its text and its hash.
        Keep = "keep",
        /// Its hash alone.
        HashOnly = "hash_only",
    }
}

text_enum! {
    /// How log lines look.
    LogFormat {
        /// Text on a terminal, JSON elsewhere.
        Auto = "auto",
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

/// Every setting, checked and complete: no `Option` here means «default». The
/// fields bear their keys' names; the table in `key.rs` says more of each.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// The folder for what this node keeps.
    pub data: PathBuf,
    pub database: DatabaseUrl,
    /// Where clips are kept for good.
    pub store: StoreUrl,
    /// How to reach the bucket, if the store is one.
    pub s3: S3Settings,
    /// What clipkeep is called from outside.
    pub public_url: BaseUrl,
    pub final_url_template: UrlTemplate,
    /// What triggers a fill: the keys `policy`, `deferred_after`, `policies`.
    pub policies: Policies,
    pub retention: Retention,
    /// What is kept of a prompt.
    pub prompts: Prompts,
    /// Whether clips are public unless a generation says otherwise.
    pub public: bool,
    /// The API's token; none if it is to be made.
    pub admin_token: Option<Secret<String>>,
    /// The link keys as `kid:base64,…`; none if they are to be made.
    pub link_keys: Option<Secret<String>>,
    /// The keys of internal links likewise.
    pub internal_link_keys: Option<Secret<String>>,
    /// What a link's expiry is rounded up to a multiple of.
    pub link_window: Duration,
    /// How long a link lives if its maker does not say.
    pub link_ttl: Duration,
    /// The longest life a link may be asked for.
    pub link_max_ttl: Duration,
    /// The longest life of an internal link.
    pub internal_link_max_ttl: Duration,
    /// The hosts that clips may be fetched from.
    pub source_hosts: Vec<HostPattern>,
    /// Whether sources may be at addresses that are not public.
    pub source_allow_private: bool,
    /// Whether sources may be fetched by plain http.
    pub source_allow_http: bool,
    /// How long connecting to a source may take.
    pub source_connect_timeout: Duration,
    /// How long a source may take to begin its answer.
    pub source_first_byte_timeout: Duration,
    /// How long a source may send nothing in the middle of its answer.
    pub source_stall_timeout: Duration,
    /// How long sources live: the keys `source_expires_after`, `source_lifetimes`.
    pub source_lifetimes: SourceLifetimes,
    /// The fal API key; none if there is none.
    pub fal_key: Option<Secret<String>>,
    pub fal_queue_url: BaseUrl,
    /// fal's direct calls.
    pub fal_run_url: BaseUrl,
    /// fal's uploads and tokens.
    pub fal_rest_url: BaseUrl,
    /// Where fal signs URLs of an account's own files.
    pub fal_api_url: BaseUrl,
    /// Where the gateway listens; none if there is none.
    pub fal_gateway_listen: Option<SocketAddr>,
    /// The networks that need no token to call fal through us.
    pub proxy_networks: Vec<Network>,
    /// See the key's documentation.
    pub proxy_hosts: Vec<HostPattern>,
    /// Whether results that pass hold our URLs.
    pub rewrite_results: bool,
    /// Where fal publishes its webhook keys.
    pub fal_jwks_url: url::Url,
    /// The fal accounts whose webhooks are believed; all of fal's if empty.
    pub fal_user_ids: Vec<String>,
    /// What Replicate's webhooks are signed with; none if it sends none.
    pub replicate_webhook_secret: Vec<WebhookKey>,
    /// The Replicate API token; none if there is none.
    pub replicate_token: Option<Secret<String>>,
    pub replicate_api_url: BaseUrl,
    /// What other providers' webhooks are signed with.
    pub standard_webhook_secrets: Vec<NamedKey>,
    /// Where apps are told what happened.
    pub event_endpoints: Vec<Endpoint>,
    /// What events are signed with; none if it is to be made.
    pub event_secret: Option<Secret<String>>,
    /// What receipts are signed with; none if it is to be made.
    pub receipt_key: Option<Secret<String>>,
    /// How far a webhook's timestamp may be from our clock.
    pub hook_tolerance: Duration,
    /// The largest webhook body, in bytes.
    pub hook_max_body: u64,
    /// The largest clip, in bytes.
    pub max_clip_size: u64,
    /// How many fills run at once.
    pub fill_concurrency: usize,
    /// How many of them may be backlog.
    pub backfill_concurrency: usize,
    /// How many bytes a second are read for backlog that nobody watches; none is as many as come.
    pub backfill_rate: Option<u64>,
    /// How many connections one fill opens to its source.
    pub fill_connections: usize,
    /// How many connections to sources are open at once.
    pub source_connections: usize,
    /// How many of them go to one host.
    pub source_connections_per_host: usize,
    /// How many bytes of memory all uploads share.
    pub fill_memory: u64,
    /// How long a lease on a clip or an endpoint holds without renewal.
    pub lease: Duration,
    /// The delay before the first retry.
    pub retry_base: Duration,
    /// The longest delay between two retries.
    pub retry_max: Duration,
    /// After how many answers «gone» in a row a clip is lost.
    pub not_found_attempts: u32,
    /// For how long a source may be missing before its clip is lost.
    pub not_found_timeout: Duration,
    /// For how long a failing source is tried before its clip is lost.
    pub lost_after: Duration,
    /// How long what runs may take to end at shutdown.
    pub shutdown_grace: Duration,
    /// How many bytes of disk the cache may take.
    pub cache_size: u64,
    /// Whether an MP4 with its index at the end is served index first.
    pub fast_start: bool,
    /// Whether there is a console.
    pub console: bool,
    /// ffmpeg, by path or by name; none if it is not to be used.
    pub ffmpeg: Option<PathBuf>,
    /// Whether clips of one tenant whose bytes are equal share one object.
    pub share_objects: bool,
    /// How often the sweep looks.
    pub sweep_interval: Duration,
    /// How long after its registration a generation without a webhook is asked for.
    pub poll_after: Duration,
    /// At which age a generation without an end is given up.
    pub poll_timeout: Duration,
    /// How long before its source vanishes a clip is at risk.
    pub at_risk_before: Duration,
    /// How often the sweep compares all rows with all objects.
    pub drift_interval: Duration,
    /// How long events are kept.
    pub events_keep: Duration,
    /// How long the history of stored and ended clips is kept.
    pub history_keep: Duration,
    /// How long usage is kept by the hour.
    pub usage_hourly_keep: Duration,
    /// How long a provider may take to put a clip into our own store.
    pub adopt_within: Duration,
    /// Files with further price lists.
    pub price_lists: Vec<PathBuf>,
    pub generation_prices: GenerationPrices,
    /// How much a month may cost.
    pub budgets: Vec<Budget>,
    /// How much disk the bodies that pass to fal and back may take, all together.
    pub proxy_disk: u64,
    pub log_format: LogFormat,
    /// How many client connections may be open at once.
    pub max_connections: usize,
    /// How long nothing may be written while an answer waits.
    pub send_timeout: Duration,
    /// How long a webhook's or an API call's body may take.
    pub body_timeout: Duration,
    /// How long a connection may idle.
    pub keep_alive: Duration,
    /// How much memory webhooks' bodies may take that are not verified yet.
    pub hook_memory: u64,
    /// How long a node that is told to stop still takes requests.
    pub drain: Duration,
}

impl Config {
    /// Checks what was given and fills in the defaults.
    ///
    /// # Errors
    /// Everything that is wrong, not just the first.
    pub fn from_layers(layers: Layers) -> Result<Self, ConfigErrors> {
        read::config(layers)
    }

    /// What is allowed but probably not meant.
    pub fn warnings(&self) -> Vec<Warning> {
        warning::of(self)
    }

    /// Whether nobody beyond this machine is meant to reach it.
    pub fn is_local(&self) -> bool {
        warning::is_loopback(&self.public_url.to_url())
    }
}
