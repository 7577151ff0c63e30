//! `GET|HEAD /v/{key}`: the link, the clip, the plan, the bytes.

use std::{
    net::{IpAddr, Ipv4Addr},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Response, StatusCode, Version, header, request::Parts},
    response::IntoResponse,
};
use clipkeep_core::{
    delivery::{
        self, RequestHead,
        header::{CacheStatus, Caching, attachment, server_timing, write_common, write_confinement, write_preflight},
    },
    generation::Clip,
    id::ClipKey,
    link::{Audience, LinkError, LinkTarget, VerifiedLink},
    problem::Code,
    state::ClipState,
};
use tokio::time::Instant;

use super::{
    body::{self, Unopened},
    error::ApiError,
    extension_redirect, resolve,
    usage_body::{Asked, byte_position, count_response},
};
use crate::{
    app::App,
    cache::{ByteSource, ServableClip},
    links::is_current,
    usage::Answer,
};

/// When to come again for a clip that is on its way.
const RETRY_AFTER_SECS: u32 = 2;

/// Delivers a clip under a signed link, or to anybody if it is public.
///
/// RFC 9110: ranges (one or several), conditions, strong ETag.
#[utoipa::path(get, path = "/v/{key}", tag = "delivery",
    params(
        ("key" = String, Path, description = "The clip's key"),
        ("expires" = Option<i64>, Query, description = "When the link ends (unix seconds)"),
        ("kid" = Option<String>, Query, description = "Which key signed"),
        ("download" = Option<String>, Query, description = "The file name to save it under"),
        ("signature" = Option<String>, Query, description = "See docs/signing.md"),
        ("Range" = Option<String>, Header, description = "RFC 9110: one range of bytes, or several"),
        ("If-Match" = Option<String>, Header, description = "RFC 9110"),
        ("If-None-Match" = Option<String>, Header, description = "RFC 9110"),
        ("Want-Repr-Digest" = Option<String>, Header, description = "RFC 9530: `sha-256=0` leaves `Repr-Digest` out"),
    ),
    responses(
        (status = 200, description = "The clip", content_type = "video/mp4"),
        (status = 206, description = "The ranges asked for"),
        (status = 304, description = "Not modified"),
        (status = 307, description = "The clip is media of another type than this name promised: to the clip's true name, signed alike"),
        (status = 403, description = "The link is bad or has expired"),
        (status = 404, description = "No such clip"),
        (status = 410, description = "The clip is lost, rejected or deleted"),
        (status = 412, description = "A precondition does not hold"),
        (status = 416, description = "No such range"),
        (status = 503, description = "Known, but not there yet: come again after Retry-After"),
    ))]
pub(super) async fn deliver(
    axum::extract::State(app): axum::extract::State<super::AppState>,
    request: axum::extract::Request,
) -> Response<Body> {
    answer(&app, &request.into_parts().0, Ipv4Addr::UNSPECIFIED.into()).await.0
}

/// The answer to any request whose path starts with `/v/`.
pub(super) async fn answer(app: &Arc<App>, request: &Parts, from: IpAddr) -> (Response<Body>, Option<Answer>) {
    let asked = Asked { from, headers: &request.headers, link: None, began: Instant::now() };
    let made = match other_method(&request.method) {
        Some(other) => Ok((other, None)),
        None => clip_response(app, request, asked).await,
    };
    delivered(app, &request.method, made)
}

/// The answer to a method that gets nothing.
pub(super) fn other_method(method: &Method) -> Option<Response<Body>> {
    match *method {
        Method::GET | Method::HEAD => None,
        Method::OPTIONS => Some(preflight()),
        _ => Some(method_not_allowed()),
    }
}

/// What all answers have. Takes no future: it would be kept twice for each viewer.
pub(super) fn delivered(
    app: &App,
    method: &Method,
    made: Result<(Response<Body>, Option<Answer>), ApiError>,
) -> (Response<Body>, Option<Answer>) {
    let refused = |error: ApiError| (without_body_for_head(method, error.into_response()), None);
    let (mut response, counted) = made.unwrap_or_else(refused);
    write_common(response.headers_mut());
    app.metrics.delivered(response.status().as_u16());
    (response, counted)
}

async fn clip_response(
    app: &Arc<App>,
    request: &Parts,
    mut asked: Asked<'_>,
) -> Result<(Response<Body>, Option<Answer>), ApiError> {
    let path = request.uri.path();
    // Keys hold no character that needs escaping: an escaped spelling is no key.
    let key: ClipKey = path["/v/".len()..].parse().map_err(|_| unknown())?;
    let now = app.clock.now();
    let link = link_of(app, request)?;
    let mut found = look_up(app, &key, request, link.as_ref()).await?;
    loop {
        let (servable, came) = match &found {
            Found::Clip(servable, came) => (servable, *came),
            Found::Elsewhere(url) => return Ok((extension_redirect::redirect(url), None)),
        };
        let downloads = link.as_ref().is_some_and(|link| link.download.is_some());
        let stored = if downloads { servable.in_stored_order() } else { None };
        let servable = stored.as_ref().unwrap_or(servable);
        may_have(servable, link.as_ref())?;
        if request.version < Version::HTTP_11 && !servable.representation.is_sized() {
            if !is_whole_within(servable, LENGTH_TIMEOUT.saturating_sub(asked.began.elapsed())).await {
                return Err(retry_later(&key));
            }
            found = look_up(app, &key, request, link.as_ref()).await?;
            continue;
        }
        let head = RequestHead { method: &request.method, headers: &request.headers, now };
        let plan = delivery::plan(&head, &servable.representation);
        let mut response = Response::new(Body::empty());
        // Room for all that is written here, by the caller and by the server.
        *response.headers_mut() = HeaderMap::with_capacity(24);
        *response.status_mut() = plan.status();
        write_headers(response.headers_mut(), &plan, servable, came, &key, link.as_ref());
        let planned = plan.into_body();
        let place = byte_position(&planned, servable);
        match body::open(app, &key, servable, planned).await {
            Ok(body) => *response.body_mut() = body,
            Err(Unopened::Failed(error)) => return Err(error),
            Err(Unopened::Outdated) if asked.began.elapsed() < FIRST_BYTE_TIMEOUT => {
                app.memory_cache.forget(&key);
                found = look_up(app, &key, request, link.as_ref()).await?;
                continue;
            }
            Err(Unopened::Outdated | Unopened::Changed) => return Err(retry_later(&key)),
        }
        response.headers_mut().insert("server-timing", server_timing(&[("total", asked.began.elapsed())]));
        asked.link = link.as_ref().map(|link| link.expires);
        let counted = place.and_then(|place| count_response(app, servable, came, place, &asked));
        return Ok((response, counted));
    }
}

/// The link that a request bears; none, if it is not signed: perhaps the clip is
/// public.
pub(super) fn link_of<'a>(app: &App, request: &'a Parts) -> Result<Option<VerifiedLink<'a>>, ApiError> {
    let (path, query) = (request.uri.path(), request.uri.query());
    match app.links.verify(Audience::Public, path, query, app.clock.now()) {
        Ok(link) => Ok(Some(link)),
        Err(LinkError::Missing) => Ok(None),
        Err(error) => Err(refused(error)),
    }
}

/// Whether who comes with this link, or none, may have what the shelf holds.
pub(super) fn may_have(servable: &ServableClip, link: Option<&VerifiedLink<'_>>) -> Result<(), ApiError> {
    match link {
        None if !servable.public => Err(refused(LinkError::Missing)),
        Some(link) if link.generation < servable.link_generation => Err(refused(LinkError::Revoked)),
        _ => Ok(()),
    }
}

/// Whether a clip of unknown length is here in time, and what it is may have
/// changed by then. In HTTP/1.0 a body without a length ends with its
/// connection, however that ends: nobody could tell a part from the whole.
async fn is_whole_within(servable: &ServableClip, timeout: Duration) -> bool {
    let ByteSource::Filling(coming) = &servable.bytes else { return false };
    // Who is gone already was another version, or is stored by now.
    let Some(mut viewer) = coming.viewer() else { return !timeout.is_zero() };
    tokio::time::timeout(timeout, viewer.whole()).await.is_ok()
}

pub(super) fn write_headers(
    headers: &mut HeaderMap,
    plan: &delivery::Plan<'_>,
    servable: &ServableClip,
    came: CacheStatus,
    key: &ClipKey,
    link: Option<&VerifiedLink<'_>>,
) {
    let caching = match link {
        Some(link) if !servable.public => Caching::Signed { expires: link.expires },
        _ => Caching::Public,
    };
    plan.write_headers(caching, headers);
    headers.insert(CacheStatus::NAME, came.value());
    if let Some(name) = link.and_then(|link| link.download.as_ref()) {
        headers.insert(header::CONTENT_DISPOSITION, attachment(name, key));
    }
    write_confinement(key, headers);
}

/// What was found under a key.
enum Found {
    /// A clip that can be served, and how it came.
    Clip(Arc<ServableClip>, CacheStatus),
    /// The clip that was promised under this name has another, at this URL.
    Elsewhere(String),
}

/// The clip from the shelf, or else from the catalogue; for the next viewer,
/// too. Whoever may not see it learns nothing and starts nothing.
async fn look_up(
    app: &Arc<App>,
    key: &ClipKey,
    request: &Parts,
    link: Option<&VerifiedLink<'_>>,
) -> Result<Found, ApiError> {
    // A link of a later generation than the shelf knows was signed after news
    // that are still to be heard, or ahead of its time: the row tells.
    let heard = |servable: &Arc<ServableClip>| link.is_none_or(|link| link.generation <= servable.link_generation);
    if let Some(servable) = app.memory_cache.find(key).filter(heard) {
        let came = match &servable.bytes {
            ByteSource::Mapped(_) | ByteSource::Memory(_) => CacheStatus::Hit,
            ByteSource::Store(_) | ByteSource::Source(_) => CacheStatus::Miss,
            ByteSource::Filling(coming) if coming.is_here() => CacheStatus::Hit,
            ByteSource::Filling(_) => CacheStatus::Collapsed,
        };
        return Ok(Found::Clip(servable, came));
    }
    let clip = extension_redirect::clip(app, key, link.is_some()).await?;
    may_see(app, &clip, link)?;
    if clip.key != *key {
        return Ok(Found::Elsewhere(extension_redirect::url(app, LinkTarget::Clip, &clip, link)?));
    }
    let waits = matches!(clip.state, ClipState::Waiting | ClipState::Filling);
    if request.method == Method::HEAD
        && waits
        && app.engine.find(key).is_none()
        && let Some(peeked) = resolve::peek(app, &clip).await
    {
        return Ok(Found::Clip(peeked, CacheStatus::Miss));
    }
    let mut first = false;
    let servable = app.memory_cache.find_or(key, async {
        first = true;
        resolve::resolve(app, key, range_start(&request.headers)).await
    });
    let servable = match servable.await {
        Ok(servable) => servable,
        Err(error) => {
            // Its bytes may have given it another name meanwhile.
            let clip = app.catalog.clip(key).await?.filter(|clip| clip.key != *key).ok_or(error)?;
            return Ok(Found::Elsewhere(extension_redirect::url(app, LinkTarget::Clip, &clip, link)?));
        }
    };
    let came = match &servable.bytes {
        ByteSource::Mapped(_) | ByteSource::Memory(_) => CacheStatus::Hit,
        ByteSource::Filling(coming) if coming.is_here() => CacheStatus::Hit,
        ByteSource::Filling(_) if !first => CacheStatus::Collapsed,
        ByteSource::Filling(_) | ByteSource::Store(_) | ByteSource::Source(_) => CacheStatus::Miss,
    };
    Ok(Found::Clip(servable, came))
}

pub(super) fn may_see(app: &App, clip: &Clip, link: Option<&VerifiedLink<'_>>) -> Result<(), ApiError> {
    match link {
        Some(link) => is_current(link, clip.link_generation).map_err(refused),
        None if !resolve::is_public(app, clip) => Err(refused(LinkError::Missing)),
        None => Ok(()),
    }
}

/// Where a request's range starts, give or take: a hint, no more.
fn range_start(headers: &HeaderMap) -> Option<Range<u64>> {
    let range = headers.get(header::RANGE)?.to_str().ok()?.strip_prefix("bytes=")?;
    let start: u64 = range.split('-').next()?.parse().ok()?;
    Some(start..start.checked_add(1)?)
}

pub(super) fn unknown() -> ApiError {
    ApiError::new(Code::NotFound, "no clip has that name")
}

pub(super) fn retry_later(key: &ClipKey) -> ApiError {
    ApiError::new(Code::NotReady, format!("{key} is on its way")).retry_after(RETRY_AFTER_SECS)
}

pub(super) fn refused(error: LinkError) -> ApiError {
    let code = if error == LinkError::Expired { Code::ExpiredLink } else { Code::ForbiddenLink };
    ApiError::new(code, error.to_string())
}

pub(super) fn preflight() -> Response<Body> {
    let mut response = StatusCode::NO_CONTENT.into_response();
    write_preflight(response.headers_mut());
    response
}

pub(super) fn method_not_allowed() -> Response<Body> {
    let mut response = ApiError::new(Code::MethodNotAllowed, "clips take GET and HEAD").into_response();
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD, OPTIONS"));
    response
}

pub(super) fn without_body_for_head(method: &Method, mut response: Response<Body>) -> Response<Body> {
    if method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

/// How long a client that cannot tell a broken body from a whole one waits for
/// a clip's length.
const LENGTH_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the first bytes of a bucket's object may take.
pub(super) const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
