//! One ranged GET from a source, every hop judged.

use std::time::Duration;

use clipkeep_core::{
    address::{Forbidden, SourceRules, judge_url},
    secret::SourceUrl,
    time::Clock,
    verdict::{Verdict, Why, judge_status},
    version::SourceVersion,
};
use http::{HeaderMap, StatusCode, header};
use reqwest::{Client, Response, redirect};
use url::Url;

use super::{
    SourceBody, SourceError,
    resolver::{GuardedResolver, LookUp, system},
};
use crate::{clock::SystemClock, tls};

/// Redirects that are followed at most.
const MAX_HOPS: usize = 5;

/// What a client may do, and how long it waits.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// Where requests may go.
    pub rules: SourceRules,
    /// For the connection, TLS included.
    pub connect_timeout: Duration,
    /// From the request to the answer's head.
    pub first_byte_timeout: Duration,
    /// Between bytes of the answer.
    pub stall_timeout: Duration,
}

/// Where to go on after a dropped connection.
#[derive(Clone, Debug)]
pub struct Resume {
    /// How many bytes are there already.
    pub from: u64,
    /// The validator that makes sure they fit.
    pub if_range: String,
}

/// A source's answer that brings bytes.
#[derive(Debug)]
pub struct SourceResponse {
    /// What it says of its version.
    pub version: SourceVersion,
    /// The offset of the first byte: the one asked for, or 0.
    pub start: u64,
    /// The whole length, if it was said; the body is then held to it.
    pub total: Option<u64>,
    /// The bytes.
    pub body: SourceBody,
}

/// The client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SourceClient {
    client: Client,
    settings: SourceSettings,
}

impl SourceClient {
    /// A client that asks the system's resolver.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(settings: SourceSettings) -> Result<Self, reqwest::Error> {
        Self::with_look_up(settings, system())
    }

    pub(super) fn with_look_up(settings: SourceSettings, look_up: LookUp) -> Result<Self, reqwest::Error> {
        let client = tls::client_builder()
            .http1_only()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .dns_resolver(GuardedResolver::new(look_up, settings.rules.allow_private))
            .connect_timeout(settings.connect_timeout)
            .build()?;
        Ok(Self { client, settings })
    }

    /// Asks for the clip from its start, or from where it broke off.
    ///
    /// # Errors
    /// With the verdict of what follows; never with an address in its text.
    pub async fn get(&self, source: &SourceUrl, resume: Option<&Resume>) -> Result<SourceResponse, SourceError> {
        let mut url = judge_url(&self.settings.rules, source.expose())?;
        for _ in 0..=MAX_HOPS {
            let response = self.ask(url.clone(), resume).await?;
            match redirected(&response, &url)? {
                None => return self.read_head(response, resume),
                Some(next) => url = judge_url(&self.settings.rules, next.as_str())?,
            }
        }
        Err(SourceError::new("the source redirects for ever", Verdict::Missing(Why::BadRedirect)))
    }

    async fn ask(&self, url: Url, resume: Option<&Resume>) -> Result<Response, SourceError> {
        let mut request = self
            .client
            .get(url)
            .header(header::ACCEPT, "*/*")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::USER_AGENT, concat!("clipkeep/", env!("CARGO_PKG_VERSION")));
        if let Some(resume) = resume {
            request = request
                .header(header::RANGE, format!("bytes={}-", resume.from))
                .header(header::IF_RANGE, &resume.if_range);
        }
        match tokio::time::timeout(self.settings.first_byte_timeout, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(unanswered(&error)),
            Err(_) => Err(SourceError::retry("the source did not begin to answer in time", Why::FirstByteTimeout)),
        }
    }

    fn read_head(&self, response: Response, resume: Option<&Resume>) -> Result<SourceResponse, SourceError> {
        let (status, headers) = (response.status(), response.headers());
        if status == StatusCode::RANGE_NOT_SATISFIABLE && resume.is_some() {
            return Err(SourceError::changed());
        }
        if let Some(verdict) = judge_status(status, headers, SystemClock.now()) {
            return Err(SourceError::new(format!("the source answers {}", status.as_u16()), verdict));
        }
        let encoding = text(headers, header::CONTENT_ENCODING);
        if encoding.is_some_and(|coding| !coding.trim().eq_ignore_ascii_case("identity")) {
            return Err(SourceError::new("the source sends a compressed body", Verdict::Rejected(Why::Encoded)));
        }
        let (start, total, promised) = framing(status, &response, resume)?;
        let version = SourceVersion {
            etag: text(headers, header::ETAG),
            last_modified: text(headers, header::LAST_MODIFIED),
            len: total,
        };
        let body = SourceBody::new(response, promised, self.settings.stall_timeout);
        Ok(SourceResponse { version, start, total, body })
    }
}

/// First offset, whole length, and how many bytes this answer promises.
fn framing(
    status: StatusCode,
    response: &Response,
    resume: Option<&Resume>,
) -> Result<(u64, Option<u64>, Option<u64>), SourceError> {
    let length = response.content_length();
    if status == StatusCode::OK {
        return Ok((0, length, length));
    }
    let wrong = |what: &str| SourceError::retry(format!("the source sent {what}"), Why::WrongRange);
    let range = text(response.headers(), header::CONTENT_RANGE).ok_or_else(|| wrong("206 without Content-Range"))?;
    let (first, last, total) = content_range(&range).ok_or_else(|| wrong("a Content-Range that cannot be read"))?;
    // Some hosts answer a plain GET with 206 for the whole.
    let wanted = resume.map_or(0, |resume| resume.from);
    if first != wanted {
        return Err(wrong("another range than was asked for"));
    }
    let promised = last - first + 1;
    if total.is_some_and(|total| last >= total) || length.is_some_and(|length| length != promised) {
        return Err(wrong("a range whose numbers contradict each other"));
    }
    if total.is_some_and(|total| last + 1 != total) {
        return Err(wrong("less than the rest of the clip"));
    }
    Ok((first, total, Some(promised)))
}

/// `bytes first-last/total` with `*` for an unknown total.
fn content_range(value: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    (first <= last && last < u64::MAX).then_some((first, last, total))
}

/// The next hop, if the answer is a redirect.
fn redirected(response: &Response, from: &Url) -> Result<Option<Url>, SourceError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let target = text(response.headers(), header::LOCATION).and_then(|target| from.join(&target).ok());
    let bad = || SourceError::new("the source redirects nowhere", Verdict::Missing(Why::BadRedirect));
    target.map(Some).ok_or_else(bad)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// A request without an answer, in words that name no address.
fn unanswered(error: &reqwest::Error) -> SourceError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(next) = cause {
        if let Some(forbidden) = next.downcast_ref::<Forbidden>() {
            return (*forbidden).into();
        }
        cause = next.source();
    }
    if error.is_timeout() {
        return SourceError::retry("connecting to the source took too long", Why::Connect);
    }
    if error.is_connect() {
        return SourceError::retry("the source cannot be connected to", Why::Connect);
    }
    SourceError::retry("the source broke off before it answered", Why::BadAnswer)
}
