//! One GET of a source, every hop judged.

use std::{sync::Arc, time::Duration};

use clipkeep_core::{
    address::{JudgedUrl, SourceRules, judge_url, refused_origin},
    config::Config,
    secret::SourceUrl,
    time::Clock,
    verdict::{Framing, Verdict, Why, judge_head},
    version::SourceVersion,
};
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, IF_RANGE, LOCATION, RANGE, USER_AGENT},
};
use http_body_util::Empty;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{
    SourceBody, SourceError,
    connections::Connections,
    resolver::{JudgingResolver, LookUp, system},
};

/// How many redirects of a source are followed.
const MAX_REDIRECTS: u32 = 5;
const AGENT: HeaderValue = HeaderValue::from_static(concat!("clipkeep/", env!("CARGO_PKG_VERSION")));

/// What the client may do, and how long it waits.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// Where requests may go.
    pub rules: SourceRules,
    /// For a connection: the look-up, TCP and TLS.
    pub connect_timeout: Duration,
    /// For the head of the final answer, redirects included. Long, because a
    /// provider may hold the answer until its own upload is done.
    pub first_byte_timeout: Duration,
    /// For the next byte of a body.
    pub stall_timeout: Duration,
    /// How many redirects are followed.
    pub max_redirects: u32,
}

/// Where sources may be, as configured.
pub fn source_rules(config: &Config) -> SourceRules {
    SourceRules {
        hosts: config.source_hosts.clone(),
        allow_private: config.source_allow_private,
        allow_http: config.source_allow_http,
    }
}

impl SourceSettings {
    pub fn of(config: &Config) -> Self {
        Self {
            rules: source_rules(config),
            connect_timeout: config.source_connect_timeout,
            first_byte_timeout: config.source_first_byte_timeout,
            stall_timeout: config.source_stall_timeout,
            max_redirects: MAX_REDIRECTS,
        }
    }
}

/// A piece of a clip to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub from: u64,
    /// Where it ends, if not with the clip.
    pub to: Option<u64>,
    /// See [`SourceVersion::if_range`]: of another version the source then sends
    /// the whole. Without it, it sends the same range of that one. The answer's
    /// head says which it is, either way.
    pub if_range: Option<String>,
}

/// A source's answer that brings bytes.
#[derive(Debug)]
pub struct SourceResponse {
    /// What the source says of its version. Bytes may be joined to earlier ones
    /// only if [`clipkeep_core::version::same_version`] agrees.
    pub version: SourceVersion,
    /// The offset of the first byte: the one asked for, or 0, and then the
    /// bytes that are there already come again.
    pub start: u64,
    /// Whether it answered with a part (206), not with the whole.
    pub is_part: bool,
    /// Bytes of the whole, where the source said.
    pub total: Option<u64>,
    /// How the body's end shows. After [`Framing::Close`] a clean end proves
    /// nothing: the content must.
    pub framing: Framing,
    /// Whether the source serves ranges, as far as it said.
    pub accepts_ranges: bool,
    /// The media type by the source's word.
    pub content_type: Option<String>,
    /// The bytes.
    pub body: SourceBody,
}

/// The client. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct SourceClient {
    connections: Connections,
    settings: Arc<SourceSettings>,
    clock: Arc<dyn Clock>,
}

impl SourceClient {
    /// A client that asks the system's resolver and trusts the system's roots
    /// (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured).
    ///
    /// # Errors
    /// If the system has no trusted roots.
    pub fn new(settings: SourceSettings, clock: Arc<dyn Clock>) -> Result<Self, rustls::Error> {
        Self::with_look_up(settings, clock, system())
    }

    pub(super) fn with_look_up(
        settings: SourceSettings,
        clock: Arc<dyn Clock>,
        look_up: LookUp,
    ) -> Result<Self, rustls::Error> {
        let resolver =
            JudgingResolver { look_up, allow_private: settings.rules.allow_private, timeout: settings.connect_timeout };
        let connections = Connections::new(resolver, settings.connect_timeout)?;
        Ok(Self { connections, settings: Arc::new(settings), clock })
    }

    /// Asks for the whole clip, or for a piece of it. Dropping the future or the
    /// answer closes the connection and leaves nothing.
    ///
    /// # Errors
    /// With the verdict of what follows.
    pub async fn get(&self, url: &SourceUrl, piece: Option<&Piece>) -> Result<SourceResponse, SourceError> {
        let rules = &self.settings.rules;
        let url = judge_url(rules, url.expose())
            .map_err(|forbidden| SourceError::forbidden(forbidden).at(refused_origin(rules, url.expose())))?;
        let response = timeout(self.settings.first_byte_timeout, self.follow(url, piece))
            .await
            .map_err(|_| SourceError::retry("the source did not answer in time", Why::FirstByteTimeout))??;
        self.accept(response, piece)
    }

    /// The first answer that is no redirect.
    async fn follow(&self, mut url: JudgedUrl, piece: Option<&Piece>) -> Result<Response<Incoming>, SourceError> {
        for _ in 0..=self.settings.max_redirects {
            let response = self.ask(&url, piece).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            url = next_hop(&self.settings.rules, &url, response.headers())?;
        }
        Err(SourceError::new("the source redirects too often", Verdict::Missing(Why::BadRedirect)))
    }

    async fn ask(&self, url: &JudgedUrl, piece: Option<&Piece>) -> Result<Response<Incoming>, SourceError> {
        let mut request = Request::get(url.expose().as_str())
            .header(ACCEPT, "*/*")
            .header(ACCEPT_ENCODING, "identity")
            .header(USER_AGENT, AGENT);
        if let Some(piece) = piece {
            let last = piece.to.map(|to| to.saturating_sub(1).to_string()).unwrap_or_default();
            request = request.header(RANGE, format!("bytes={}-{last}", piece.from));
            if let Some(if_range) = &piece.if_range {
                request = request.header(IF_RANGE, if_range);
            }
        }
        self.connections.send(request.body(Empty::new()).map_err(|_| SourceError::unaskable())?).await
    }

    fn accept(&self, response: Response<Incoming>, piece: Option<&Piece>) -> Result<SourceResponse, SourceError> {
        let (status, headers) = (response.status(), response.headers());
        let promise = judge_head(status, headers, piece.map(|piece| piece.from), self.clock.now())
            .map_err(|verdict| SourceError::refused(status.as_u16(), verdict))?;
        let is_part = status == StatusCode::PARTIAL_CONTENT;
        let to = piece.and_then(|piece| piece.to).filter(|_| is_part);
        Ok(SourceResponse {
            version: SourceVersion::from_headers(headers, promise.total),
            start: promise.start,
            is_part,
            total: promise.total,
            framing: promise.framing,
            accepts_ranges: promise.accepts_ranges,
            content_type: headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned),
            body: SourceBody::new(response.into_body(), promise, to, self.settings.stall_timeout),
        })
    }
}

/// Where a redirect leads, judged like any other URL.
pub(super) fn next_hop(rules: &SourceRules, from: &JudgedUrl, headers: &HeaderMap) -> Result<JudgedUrl, SourceError> {
    let target = headers
        .get(LOCATION)
        .and_then(|target| std::str::from_utf8(target.as_bytes()).ok())
        .and_then(|target| from.expose().join(target).ok())
        .ok_or_else(|| SourceError::new("the source redirects nowhere", Verdict::Missing(Why::BadRedirect)))?;
    judge_url(rules, target.as_str())
        .map_err(|forbidden| SourceError::led_astray(forbidden).at(refused_origin(rules, target.as_str())))
}
