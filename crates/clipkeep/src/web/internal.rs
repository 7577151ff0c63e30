//! `GET /i/{key}`: for those who look at clips inside, such as a review
//! dashboard. Leads to the source while the clip is not stored, and to our own
//! link afterwards. Starts no fill.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use clipkeep_core::{
    address::{SourceRules, judge_url},
    generation::Clip,
    link::{Audience, LinkTarget, VerifiedLink},
    problem::Code,
    state::ClipState,
    time::Timestamp,
};

use super::{
    AppState,
    clips::{refused, retry_later, unknown},
    error::ApiError,
    extension_redirect,
};
use crate::{app::App, links::is_current};

/// How long the public link holds that an internal one leads to: this much, up
/// to the end of a link window, and never longer than the internal one.
const PUBLIC_SPAN: Duration = Duration::from_secs(300);

/// Leads to a clip's source while it is not stored, and to a short public link
/// afterwards. Needs an internal link; triggers no fill; never cached.
#[utoipa::path(get, path = "/i/{key}", tag = "delivery",
    params(
        ("key" = String, Path, description = "The clip's key"),
        ("expires" = Option<String>, Query, description = "When the link ends (unix seconds)"),
        ("kid" = Option<String>, Query, description = "Which internal key signed"),
        ("download" = Option<String>, Query, description = "The file name to save it under"),
        ("signature" = Option<String>, Query, description = "See docs/signing.md"),
    ),
    responses(
        (status = 302, description = "To the source, or to a public link of our own"),
        (status = 403, description = "The link is bad, revoked, or has expired"),
        (status = 404, description = "No such clip"),
        (status = 410, description = "The clip is lost, rejected or deleted"),
        (status = 503, description = "Known, but there is nothing to see yet: come again after Retry-After"),
    ))]
pub(super) async fn view(State(app): State<AppState>, request: Request) -> Response {
    let uri = request.uri();
    let answered = lead(&app, uri.path(), uri.query()).await;
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

async fn lead(app: &App, path: &str, query: Option<&str>) -> Result<Response, ApiError> {
    let Some((LinkTarget::Internal, key)) = LinkTarget::of_path(path) else { return Err(unknown()) };
    let now = app.clock.now();
    let link = app.links.verify(Audience::Internal, path, query, now).map_err(refused)?;
    let clip = extension_redirect::clip(app, &key, true).await?;
    let key = &clip.key;
    is_current(&link, clip.link_generation).map_err(refused)?;
    let to = match clip.state {
        ClipState::Waiting | ClipState::Filling => source(app, &clip)?,
        ClipState::Stored => public(app, &clip, &link, now)?,
        ClipState::Lost | ClipState::Rejected | ClipState::Deleted => {
            return Err(ApiError::new(Code::Gone, format!("{key} is {}", clip.state)));
        }
    };
    Ok((StatusCode::FOUND, [(header::LOCATION, to)]).into_response())
}

/// The source, if it is one that a request may go to: nobody is led elsewhere.
fn source(app: &App, clip: &Clip) -> Result<String, ApiError> {
    let rules = SourceRules {
        hosts: app.config.source_hosts.clone(),
        allow_private: app.config.source_allow_private,
        allow_http: app.config.source_allow_http,
    };
    let judged = judge_url(&rules, clip.source_url.expose()).map_err(|_| retry_later(&clip.key))?;
    Ok(judged.expose().to_string())
}

fn public(app: &App, clip: &Clip, link: &VerifiedLink<'_>, now: Timestamp) -> Result<String, ApiError> {
    let expires = app.links.expires(Audience::Public, now, PUBLIC_SPAN).min(link.expires);
    let clip = (&clip.key, clip.link_generation);
    let link = app.links.sign(LinkTarget::Clip, clip, (now, expires), link.download.as_deref());
    link.map(|link| link.url).map_err(|error| ApiError::new(Code::Unavailable, error.to_string()))
}
