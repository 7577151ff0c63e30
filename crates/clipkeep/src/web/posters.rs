//! `GET|HEAD /p/{key}.jpg`: a clip's still, under its own link.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, header, request::Parts},
};
use clipkeep_core::{
    delivery::{
        self, Representation, RequestHead,
        header::{CacheStatus, ETag, server_timing},
        version_time,
    },
    generation::Clip,
    id::ClipKey,
    link::LinkTarget,
    problem::Code,
    state::ClipState,
};
use tokio::time::Instant;

use super::{
    body,
    clips::{delivered, link_of, may_have, may_see, other_method, retry_later, unknown, write_headers},
    error::ApiError,
    extension_redirect, resolve,
    usage_body::{Asked, count_response},
};
use crate::{
    app::App,
    cache::{ByteSource, ServableClip},
    poster::PosterError,
    usage::{Answer, BytePosition},
};

/// How long a poster may take to be made while somebody waits.
const POSTER_TIMEOUT: Duration = Duration::from_secs(25);
/// How long caches may keep the poster of a clip that is not stored yet: that of
/// all its bytes may be another one.
const OF_A_COLD_CLIP: HeaderValue = HeaderValue::from_static("private, max-age=60");

/// Delivers a clip's still: a JPEG of at most 640 pixels' width, under a link
/// signed over its own path, or to anybody if the clip is public. One that was not
/// made yet is made now; that fills nothing.
#[utoipa::path(get, path = "/p/{key}.jpg", tag = "delivery",
    params(
        ("key" = String, Path, description = "The clip's key"),
        ("expires" = Option<i64>, Query, description = "When the link ends (unix seconds)"),
        ("kid" = Option<String>, Query, description = "Which key signed"),
        ("signature" = Option<String>, Query, description = "See docs/signing.md"),
    ),
    responses(
        (status = 200, description = "The poster", content_type = "image/jpeg"),
        (status = 206, description = "The ranges asked for"),
        (status = 304, description = "Not modified"),
        (status = 307, description = "To the clip's true name, signed alike"),
        (status = 403, description = "The link is bad or has expired"),
        (status = 404, description = "No such clip, or there is nothing to show of it, or no ffmpeg here"),
        (status = 410, description = "The clip is lost, rejected or deleted"),
        (status = 412, description = "A precondition does not hold"),
        (status = 416, description = "No such range"),
        (status = 503, description = "Not at hand yet: come again after Retry-After"),
    ))]
pub(super) async fn answer(app: &Arc<App>, request: &Parts, from: IpAddr) -> (Response<Body>, Option<Answer>) {
    let asked = Asked { from, headers: &request.headers, link: None, began: Instant::now() };
    let made = match other_method(&request.method) {
        Some(other) => Ok((other, None)),
        None => poster_response(app, request, asked).await,
    };
    delivered(app, &request.method, made)
}

async fn poster_response(
    app: &Arc<App>,
    request: &Parts,
    asked: Asked<'_>,
) -> Result<(Response<Body>, Option<Answer>), ApiError> {
    let Some((LinkTarget::Poster, key)) = LinkTarget::of_path(request.uri.path()) else { return Err(unknown()) };
    let link = link_of(app, request)?;
    let heard =
        |servable: &Arc<ServableClip>| link.as_ref().is_none_or(|link| link.generation <= servable.link_generation);
    let (servable, came) = match app.poster_cache.find(&key).filter(heard) {
        Some(servable) => (servable, CacheStatus::Hit),
        None => {
            let clip = extension_redirect::clip(app, &key, link.is_some()).await?;
            may_see(app, &clip, link.as_ref())?;
            if clip.key != key {
                let url = extension_redirect::url(app, LinkTarget::Poster, &clip, link.as_ref())?;
                return Ok((extension_redirect::redirect(&url), None));
            }
            let found = app.poster_cache.find_or(&key, resolve(app, &clip));
            let found = tokio::time::timeout(POSTER_TIMEOUT, found).await.map_err(|_| retry_later(&key))?;
            (found?, CacheStatus::Miss)
        }
    };
    may_have(&servable, link.as_ref())?;
    let head = RequestHead { method: &request.method, headers: &request.headers, now: app.clock.now() };
    let plan = delivery::plan(&head, &servable.representation);
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = HeaderMap::with_capacity(24);
    *response.status_mut() = plan.status();
    write_headers(response.headers_mut(), &plan, &servable, came, &key, link.as_ref());
    if !servable.lasts {
        response.headers_mut().insert(header::CACHE_CONTROL, OF_A_COLD_CLIP);
    }
    let planned = plan.into_body();
    let counted = match &planned {
        delivery::Body::Empty => None,
        _ => count_response(app, &servable, came, (BytePosition::Beside, None), &asked),
    };
    *response.body_mut() = body::open(app, &key, &servable, planned).await.map_err(|_| retry_later(&key))?;
    response.headers_mut().insert("server-timing", server_timing(&[("total", asked.began.elapsed())]));
    Ok((response, counted))
}

/// What viewers of a clip's poster need.
async fn resolve(app: &Arc<App>, clip: &Clip) -> Result<Arc<ServableClip>, ApiError> {
    let since = Instant::now();
    if matches!(clip.state, ClipState::Lost | ClipState::Rejected | ClipState::Deleted) {
        return Err(ApiError::new(Code::Gone, format!("{} is {}", clip.key, clip.state)));
    }
    let jpeg = app.posters.of(clip).await.map_err(|error| unmade(&clip.key, error))?;
    let sha256 = data_encoding::HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, &jpeg).as_ref());
    let at = version_time(clip.stored_at.unwrap_or(clip.created_at), 1);
    let representation = Representation::new(jpeg.len() as u64, ETag::of_sha256(&sha256), at, "image/jpeg");
    let servable = resolve::servable(app, clip, representation.with_sha256(&sha256), ByteSource::Memory(jpeg));
    Ok(Arc::new(ServableClip { lasts: clip.state == ClipState::Stored, since, ..servable }))
}

fn unmade(key: &ClipKey, error: PosterError) -> ApiError {
    match error {
        PosterError::Off | PosterError::Nothing => ApiError::new(Code::NotFound, format!("{key}: {error}")),
        PosterError::Later => retry_later(key),
        PosterError::Catalog(error) => error.into(),
        PosterError::Store(_) | PosterError::NotOurs(_) | PosterError::Disk(_) => {
            ApiError::unavailable("the poster cannot be had", error)
        }
    }
}
