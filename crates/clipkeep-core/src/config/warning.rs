//! Settings that are allowed but probably not meant.

use std::fmt;

use url::{Host, Url};

use super::{BaseUrl, Config, DatabaseUrl, Key, Network, StoreUrl};
use crate::secret::Secret;

/// One thing to look at, in words for whoever wrote the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The world may reach us, and through us our private network.
    PrivateSourcesOnPublicAddress,
    /// Links would name an address that nobody can open.
    PublicUrlUnspecified,
    /// Links and the API's token would go over the wire in the clear.
    PublicUrlPlainHttp,
    /// The fal key or fal's webhook keys would go over the wire in the clear.
    FalOverPlainHttp,
    /// The Replicate token would go over the wire in the clear.
    ReplicateOverPlainHttp,
    /// Anybody who reaches the node spends the fal key's money.
    ProxyOpenToAll,
    /// A bucket of one's own will not be reached without keys.
    NoBucketKeys,
    /// The bucket would be named twice.
    BucketInEndpoint,
    /// The gateway could call nobody.
    GatewayWithoutKey,
    /// Several nodes would each make secrets of their own.
    SecretsPerNode,
    /// Several nodes would each sign events with a secret of their own.
    EventSecretPerNode,
    /// What apps are told would go over the wire in the clear.
    EventsOverPlainHttp,
    /// A secret is the one that the documentation prints.
    ExampleSecret,
    /// No source is allowed at all.
    NoSourceHosts,
}

impl Warning {
    /// The warning as a sentence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PrivateSourcesOnPublicAddress => {
                "source_allow_private is on while listen is not a loopback address: whoever can register a generation \
                 can make this node read from your private network"
            }
            Self::PublicUrlUnspecified => {
                "public_url names the unspecified address: links will not open; set it to the name clients use"
            }
            Self::PublicUrlPlainHttp => {
                "public_url is plain http beyond this machine: signed links and the admin token can be read on the way"
            }
            Self::FalOverPlainHttp => {
                "a fal_…_url is plain http beyond this machine: the fal key can be read and webhooks can be forged on \
                 the way"
            }
            Self::ReplicateOverPlainHttp => {
                "replicate_api_url is plain http beyond this machine: the Replicate token can be read on the way"
            }
            Self::ProxyOpenToAll => {
                "proxy_networks holds a network of all addresses: anybody who reaches this node generates at your cost"
            }
            Self::NoBucketKeys => {
                "store is a bucket at an endpoint of your own, but AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not \
                 set: only AWS's own machines have roles to ask for"
            }
            Self::BucketInEndpoint => {
                "the endpoint (AWS_ENDPOINT_URL) holds the bucket's name already, which would be added once more: leave \
                 it out there"
            }
            Self::GatewayWithoutKey => "fal_gateway_listen is set, but fal_key is not: no call can pass",
            Self::SecretsPerNode => {
                "database is PostgreSQL, but link_keys, internal_link_keys, admin_token and receipt_key are not all given: each node makes \
                 its own, and one node's links and receipts are refused by the others"
            }
            Self::EventSecretPerNode => {
                "database is PostgreSQL, but event_secret is not given: each node makes its own, and endpoints cannot \
                 know which one signed"
            }
            Self::EventsOverPlainHttp => {
                "an entry of event_endpoints is plain http beyond this machine: what it is told can be read on the way"
            }
            Self::ExampleSecret => {
                "a secret is the documentation's example, which everybody knows: put your own there, or leave it out"
            }
            Self::NoSourceHosts => "source_hosts is empty: no clip can be fetched",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

pub(super) fn of(config: &Config) -> Vec<Warning> {
    let public_url = config.public_url.to_url();
    let unspecified = match public_url.host() {
        Some(Host::Ipv4(address)) => address.is_unspecified(),
        Some(Host::Ipv6(address)) => address.is_unspecified(),
        _ => false,
    };
    let postgres = matches!(config.database, DatabaseUrl::Postgres(_));
    let tells = !config.event_endpoints.is_empty();
    let bases =
        [&config.fal_queue_url, &config.fal_run_url, &config.fal_rest_url, &config.fal_api_url].map(BaseUrl::to_url);
    let checks = [
        (Warning::PrivateSourcesOnPublicAddress, config.source_allow_private && !config.listen.ip().is_loopback()),
        (Warning::PublicUrlUnspecified, unspecified),
        (Warning::PublicUrlPlainHttp, !unspecified && is_open_http(&public_url)),
        (Warning::ReplicateOverPlainHttp, is_open_http(&config.replicate_api_url.to_url())),
        (Warning::FalOverPlainHttp, bases.iter().chain([&config.fal_jwks_url]).any(is_open_http)),
        (Warning::ProxyOpenToAll, config.proxy_networks.iter().any(Network::is_all)),
        (Warning::NoBucketKeys, is_keyless(config)),
        (Warning::BucketInEndpoint, names_bucket(config)),
        (Warning::GatewayWithoutKey, config.fal_gateway_listen.is_some() && config.fal_key.is_none()),
        (Warning::SecretsPerNode, postgres && makes_secrets(config)),
        (Warning::EventSecretPerNode, postgres && tells && config.event_secret.is_none()),
        (Warning::EventsOverPlainHttp, config.event_endpoints.iter().any(|endpoint| is_open_http(endpoint.expose()))),
        (Warning::ExampleSecret, has_example_secret(config)),
        (Warning::NoSourceHosts, config.source_hosts.is_empty()),
    ];
    checks.into_iter().filter(|(_, holds)| *holds).map(|(warning, _)| warning).collect()
}

fn makes_secrets(config: &Config) -> bool {
    [&config.link_keys, &config.internal_link_keys, &config.admin_token, &config.receipt_key]
        .iter()
        .any(|secret| secret.is_none())
}

fn has_example_secret(config: &Config) -> bool {
    let secrets = [
        ("admin_token", &config.admin_token),
        ("link_keys", &config.link_keys),
        ("internal_link_keys", &config.internal_link_keys),
        ("event_secret", &config.event_secret),
        ("receipt_key", &config.receipt_key),
    ];
    let is_example = |name, secret: &Secret<String>| Key::named(name).is_some_and(|key| key.example == secret.expose());
    let is_known =
        secrets.into_iter().any(|(name, secret)| secret.as_ref().is_some_and(|secret| is_example(name, secret)));
    let hook_keys =
        config.replicate_webhook_secret.iter().chain(config.standard_webhook_secrets.iter().map(|key| &key.key));
    let example = Key::named("replicate_webhook_secret").and_then(|key| key.example.parse().ok());
    is_known || example.is_some_and(|example| hook_keys.into_iter().any(|key| key.is_same_secret(&example)))
}

fn is_keyless(config: &Config) -> bool {
    let is_bucket = matches!(config.store, StoreUrl::S3 { .. });
    is_bucket && config.s3.endpoint.is_some() && config.s3.access_key_id.is_none()
}

fn names_bucket(config: &Config) -> bool {
    let (StoreUrl::S3 { bucket, .. }, Some(endpoint)) = (&config.store, &config.s3.endpoint) else { return false };
    let Ok(url) = endpoint.parse::<Url>() else { return false };
    let in_host =
        url.host_str().and_then(|host| host.strip_prefix(bucket.as_str())).is_some_and(|rest| rest.starts_with('.'));
    in_host || url.path().trim_matches('/') == bucket
}

/// Whether a URL is plain http to another machine.
fn is_open_http(url: &Url) -> bool {
    url.scheme() == "http" && !is_loopback(url)
}

/// Whether a URL leads to this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
