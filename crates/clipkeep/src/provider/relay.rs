//! fal as an app calls it, with our key: one request, its answer as it comes.

use std::time::Duration;

use clipkeep_core::{
    config::{BaseUrl, Config},
    proxy::FalHost,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header::AUTHORIZATION};
use reqwest::{Body, Client, Response, redirect};

use super::api::key_header;
use crate::tls;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection whose other end is gone is noticed after about this long: some
/// answers take an hour to begin.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Tells fal who stands between, as its own proxies do.
const CLIENT_PROXY: HeaderName = HeaderName::from_static("x-fal-client-proxy");

/// A call on its way to fal.
pub struct Outgoing {
    pub host: FalHost,
    pub method: Method,
    pub path_and_query: String,
    /// What goes with it; without the key.
    pub headers: HeaderMap,
    pub body: Body,
}

/// Why fal gave no answer. No text here holds an address or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// There is no key to call with.
    #[error("clipkeep has no fal key; hint: set `fal_key`")]
    NoKey,
    /// It cannot be reached, or broke off. 502.
    #[error("fal {0}")]
    Unreachable(&'static str),
    /// It takes too long. 504.
    #[error("fal did not answer in time")]
    Timeout,
}

/// The way to fal. Cheap to clone.
#[derive(Clone)]
pub struct FalRelay {
    client: Client,
    queue: BaseUrl,
    run: BaseUrl,
    rest: BaseUrl,
    key: Option<HeaderValue>,
}

impl FalRelay {
    /// The way that `config` names.
    ///
    /// # Errors
    /// If there can be no HTTP client.
    pub fn new(config: &Config) -> Result<Self, reqwest::Error> {
        let client = tls::client_builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(KEEPALIVE)
            .build()?;
        Ok(Self {
            client,
            queue: config.fal_queue_url.clone(),
            run: config.fal_run_url.clone(),
            rest: config.fal_rest_url.clone(),
            key: config.fal_key.as_ref().and_then(|key| key_header("Key", key)),
        })
    }

    /// Where calls to `host` go.
    pub const fn base(&self, host: FalHost) -> &BaseUrl {
        match host {
            FalHost::Queue => &self.queue,
            FalHost::Run => &self.run,
            FalHost::Rest => &self.rest,
        }
    }

    /// Sends a call; answers once the head of fal's answer is there, however
    /// long that takes. Redirects are answers. Dropping the future ends it.
    ///
    /// # Errors
    /// If fal does not answer.
    pub async fn send(&self, call: Outgoing) -> Result<Response, RelayError> {
        let key = self.key.clone().ok_or(RelayError::NoKey)?;
        let url = format!("{}{}", self.base(call.host), call.path_and_query);
        let mut headers = call.headers;
        headers.insert(AUTHORIZATION, key);
        headers.insert(CLIENT_PROXY, HeaderValue::from_static(concat!("clipkeep/", env!("CARGO_PKG_VERSION"))));
        let request = self.client.request(call.method, url).headers(headers).body(call.body);
        request.send().await.map_err(|error| unanswered(&error))
    }
}

/// In our own words: the client's hold the address.
pub fn unanswered(error: &reqwest::Error) -> RelayError {
    match error {
        error if error.is_timeout() && error.is_connect() => RelayError::Unreachable("cannot be connected to in time"),
        error if error.is_timeout() => RelayError::Timeout,
        error if error.is_connect() => RelayError::Unreachable("cannot be connected to"),
        _ => RelayError::Unreachable("broke off before its answer was whole"),
    }
}
