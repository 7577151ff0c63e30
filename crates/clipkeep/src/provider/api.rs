//! A provider's HTTP API: one answer at a time, bounded, with a key that is not
//! shown.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use clipkeep_core::{config::BaseUrl, secret::Secret};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
};
use reqwest::{Client, RequestBuilder, redirect};

use super::StatusError;
use crate::tls;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one answer may take in all.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A provider's API at one address, asked with one key.
pub(super) struct Api {
    provider: &'static str,
    client: Client,
    base: BaseUrl,
    key: Option<HeaderValue>,
}

/// One answer.
pub(super) struct Said {
    pub(super) code: u16,
    pub(super) body: Bytes,
    pub(super) after: Option<Duration>,
    provider: &'static str,
}

impl Said {
    pub(super) fn away(&self) -> StatusError {
        StatusError::Away { provider: self.provider, code: self.code, after: self.after }
    }
}

impl Api {
    /// The API of `provider` at `base`; its key goes in `Authorization`, after
    /// `scheme`.
    pub(super) fn new(
        provider: &'static str,
        base: &BaseUrl,
        scheme: &str,
        key: Option<&Secret<String>>,
    ) -> Result<Self, reqwest::Error> {
        let is_plain = base.to_url().scheme() == "http";
        let client = tls::client_builder()
            .https_only(!is_plain)
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .user_agent(concat!("clipkeep/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { provider, client, base: base.clone(), key: key.and_then(|key| key_header(scheme, key)) })
    }

    pub(super) const fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The answer to a GET of `path`, of at most `max` bytes.
    pub(super) async fn get(&self, path: &str, max: usize) -> Result<Said, StatusError> {
        let request = self.client.get(format!("{}/{path}", self.base));
        self.answer(request, max).await.map_err(|(error, _)| error)
    }

    /// The answer to a POST of JSON; or why there is none, and whether the
    /// request may have been taken all the same.
    pub(super) async fn post(
        &self,
        target: &str,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Vec<u8>,
        max: usize,
    ) -> Result<Said, (StatusError, bool)> {
        let headers: HeaderMap = headers.into_iter().collect();
        let request = self.client.post(format!("{}/{target}", self.base)).headers(headers);
        self.answer(request.header(CONTENT_TYPE, "application/json").body(body), max).await
    }

    async fn answer(&self, mut request: RequestBuilder, max: usize) -> Result<Said, (StatusError, bool)> {
        request = request.header(ACCEPT, "application/json");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, key.clone());
        }
        // Only what was never connected was never sent.
        let broke_off = |error: reqwest::Error| (self.unanswered(&error), !error.is_connect());
        let mut response = request.send().await.map_err(broke_off)?;
        let (code, after) = (response.status().as_u16(), retry_after(response.headers()));
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(broke_off)? {
            if body.len() + chunk.len() > max {
                return Err((StatusError::TooLarge { max }, true));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Said { code, body: body.freeze(), after, provider: self.provider })
    }

    /// In our own words: the client's hold the address.
    fn unanswered(&self, error: &reqwest::Error) -> StatusError {
        let problem = match error {
            error if error.is_timeout() => "does not answer in time",
            error if error.is_connect() => "cannot be connected to",
            _ => "broke off before its answer was whole",
        };
        StatusError::Unanswered { provider: self.provider, problem }
    }
}

/// What a key is sent as. A key that is no header value was refused with the
/// configuration.
pub(super) fn key_header(scheme: &str, key: &Secret<String>) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(format!("{scheme} {}", key.expose())).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let secs = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(secs))
}
