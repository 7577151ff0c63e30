//! Names that were promised before it was known what a generation makes: an app
//! knows `{request_id}.mp4` from the submit, and what came is a `.png`.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use clipkeep_core::{
    generation::Clip,
    id::ClipKey,
    link::{Audience, LinkError, LinkTarget, VerifiedLink},
    problem::Code,
    state::GenerationStatus,
};

use super::{
    clips::{refused, retry_later, unknown},
    error::ApiError,
};
use crate::{app::App, catalog::lookup::clip_by_any_key};

/// The clip that is meant by `key`.
///
/// # Errors
/// If there is none: what is known of it, as far as who is not `signed` may know.
pub(super) async fn clip(app: &App, key: &ClipKey, signed: bool) -> Result<Clip, ApiError> {
    if let Some(clip) = clip_by_any_key(&*app.catalog, key).await? {
        return Ok(clip);
    }
    let Some((request_id, _)) = key.parts() else { return Err(unknown()) };
    let Some(generation) = app.catalog.generation(&request_id).await? else { return Err(unknown()) };
    if !signed && !generation.facts.public.unwrap_or(app.config.public) {
        return Err(refused(LinkError::Missing));
    }
    Err(match generation.status {
        GenerationStatus::Pending | GenerationStatus::ResultMissing => retry_later(key),
        GenerationStatus::Unreadable => {
            ApiError::new(Code::NotFound, format!("the result of {key}'s generation is not understood"))
        }
        GenerationStatus::Failed => ApiError::new(Code::Gone, format!("the generation of {key} failed")),
        GenerationStatus::Completed => unknown(),
    })
}

/// The clip's own URL, for who came with `link`: one that is no stronger.
pub(super) fn url(
    app: &App,
    target: LinkTarget,
    clip: &Clip,
    link: Option<&VerifiedLink<'_>>,
) -> Result<String, ApiError> {
    let path = target.path(&clip.key);
    let query = match link {
        None => String::new(),
        Some(link) => {
            let query = app.links.keys(Audience::Public).sign_like(link, &path);
            format!("?{}", query.ok_or_else(|| refused(LinkError::UnknownKey))?)
        }
    };
    Ok(format!("{}{path}{query}", app.config.public_url))
}

/// Leads there; not to be remembered, since the link there ends.
pub(super) fn redirect(url: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(url) = url.parse() {
        headers.insert(header::LOCATION, url);
    }
    response
}
