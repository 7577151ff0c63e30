//! `GET /w/{key}`: a page that plays one clip, for whoever was sent a link to it;
//! and `GET /oembed`, by which other sites embed that page.

use axum::{
    Json,
    extract::{Query, RawQuery, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use clipkeep_core::{
    generation::{Clip, Kind, Poster},
    link::{Audience, LinkError, LinkTarget, VerifiedLink},
    problem::Code,
    state::ClipState,
};
use maud::{DOCTYPE, Markup, html};
use serde::{Deserialize, Serialize};
use url::{Url, form_urlencoded};
use utoipa::{IntoParams, ToSchema};

use super::{
    AppState,
    clips::{may_see, refused, unknown},
    console::{asset, strict},
    error::ApiError,
    extension_redirect, resolve,
};
use crate::app::App;

/// Nothing but our own player and style. In a frame of any site's where it is to
/// be embedded, else in none.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; media-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors ";
/// A player's size where the clip does not tell.
const USUAL: (u32, u32) = (1280, 720);
/// What a page is called whose link names no file.
const TITLE: &str = "Clip";

/// A clip that may be watched, and what is said of it.
struct Watched {
    clip: Clip,
    title: String,
    is_public: bool,
    /// Absolute, as others fetch them.
    page: String,
    video: String,
    poster: Option<String>,
    width: u32,
    height: u32,
}

/// A page with a player for one clip, under a link signed over its own path, or
/// for anybody if the clip is public.
#[utoipa::path(get, path = "/w/{key}", tag = "delivery",
    params(
        ("key" = String, Path, description = "The clip's key"),
        ("expires" = Option<i64>, Query, description = "When the link ends (unix seconds)"),
        ("kid" = Option<String>, Query, description = "Which key signed"),
        ("download" = Option<String>, Query, description = "The page's title, as a file name"),
        ("signature" = Option<String>, Query, description = "See docs/signing.md"),
        ("embed" = Option<String>, Query, description = "`1`: the player alone, for a frame"),
    ),
    responses(
        (status = 200, description = "The page", content_type = "text/html", body = String),
        (status = 403, description = "The link is bad or has expired", content_type = "text/html", body = String),
        (status = 404, description = "No such clip", content_type = "text/html", body = String),
        (status = 410, description = "The clip is lost, rejected or deleted", content_type = "text/html", body = String),
        (status = 503, description = "Its generation is on its way: come again after Retry-After", content_type = "text/html", body = String),
    ))]
pub(super) async fn watch(State(app): State<AppState>, RawQuery(query): RawQuery, uri: Uri) -> Response {
    let is_embedded = form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes())
        .any(|(name, value)| name == "embed" && value == "1");
    let (status, page, is_public, retry) = match find(&app, uri.path(), query.as_deref()).await {
        Ok(watched) => (StatusCode::OK, page(&app, &watched, is_embedded), watched.is_public, None),
        Err(error) => (error.code().status(), sorry(&error), false, error.seconds()),
    };
    let mut response = (status, page.into_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Its links end, so nobody keeps it.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let framed = if is_embedded { "*" } else { "'none'" };
    if let Ok(policy) = HeaderValue::try_from(format!("{POLICY}{framed}")) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if !is_public {
        headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
    }
    if let Some(secs) = retry {
        headers.insert(header::RETRY_AFTER, secs.into());
    }
    response
}

async fn find(app: &App, path: &str, query: Option<&str>) -> Result<Watched, ApiError> {
    let Some((LinkTarget::Page, key)) = LinkTarget::of_path(path) else { return Err(unknown()) };
    let link = match app.links.verify(Audience::Public, path, query, app.clock.now()) {
        Ok(link) => Some(link),
        Err(LinkError::Missing) => None,
        Err(error) => return Err(refused(error)),
    };
    let clip = extension_redirect::clip(app, &key, link.is_some()).await?;
    may_see(app, &clip, link.as_ref())?;
    if matches!(clip.state, ClipState::Lost | ClipState::Rejected | ClipState::Deleted) {
        return Err(ApiError::new(Code::Gone, format!("This clip is {}.", clip.state)));
    }
    let file = link.as_ref().and_then(|link| link.download.as_deref());
    let title = file.map_or_else(|| TITLE.to_owned(), titled);
    let media = clip.sealed.as_ref().map(|sealed| &sealed.media);
    let size =
        media.and_then(|media| media.width.zip(media.height)).filter(|(width, height)| *width > 0 && *height > 0);
    let (width, height) = size.unwrap_or(USUAL);
    let for_watching = link.as_ref().map(VerifiedLink::without_download);
    let of = |target| extension_redirect::url(app, target, &clip, for_watching.as_ref());
    let poster = match clip.poster {
        Poster::Made { .. } => Some(of(LinkTarget::Poster)?),
        Poster::Untried | Poster::None => None,
    };
    let page = extension_redirect::url(app, LinkTarget::Page, &clip, link.as_ref())?;
    let (video, is_public) = (of(LinkTarget::Clip)?, resolve::is_public(app, &clip));
    Ok(Watched { title, is_public, page, video, poster, width, height, clip })
}

/// A file's name for people: without its ending, and without what would turn or
/// hide the words around it.
fn titled(file: &str) -> String {
    let is_ending = |end: &str| {
        end.len() <= 5 && end.bytes().all(|b| b.is_ascii_alphanumeric()) && end.bytes().any(|b| b.is_ascii_alphabetic())
    };
    let stem = file.rsplit_once('.').filter(|(_, end)| is_ending(end)).map_or(file, |(stem, _)| stem);
    let turns = |c: &char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown: String = stem.chars().filter(|c| !c.is_control() && !turns(c)).collect();
    if shown.trim().is_empty() { TITLE.to_owned() } else { shown.trim().to_owned() }
}

/// What of ours a page names is asked for from where the page is, whatever host
/// that goes by.
fn local<'a>(app: &App, url: &'a str) -> &'a str {
    url.strip_prefix(app.config.public_url.as_str()).unwrap_or(url)
}

fn page(app: &App, watched: &Watched, is_embedded: bool) -> Markup {
    let Watched { clip, title, page, video, poster, width, height, is_public } = watched;
    let kind = clip.sealed.as_ref().map_or(clip.kind, |sealed| sealed.media.kind);
    let media_type = clip.sealed.as_ref().map_or(&clip.content_type, |sealed| &sealed.media.content_type);
    let address: String = form_urlencoded::byte_serialize(page.as_bytes()).collect();
    let embed = format!("{page}{}embed=1", if page.contains('?') { '&' } else { '?' });
    let (src, still) = (local(app, video), poster.as_deref().map(|poster| local(app, poster)));
    html! {
        (DOCTYPE)
        html lang="en" class=[is_embedded.then_some("embed")] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                @if !*is_public { meta name="robots" content="noindex"; }
                title { (title) }
                link rel="stylesheet" href=(asset("watch", ".css"));
                link rel="icon" href=(asset("icon", ".svg")) type="image/svg+xml";
                link rel="alternate" type="application/json+oembed" title=(title)
                    href={ (app.config.public_url) "/oembed?format=json&url=" (address) };
                meta property="og:site_name" content="clipkeep";
                meta property="og:title" content=(title);
                meta property="og:url" content=(page);
                @if kind == Kind::Video {
                    meta property="og:type" content="video.other";
                    meta property="og:video" content=(video);
                    @if video.starts_with("https://") { meta property="og:video:secure_url" content=(video); }
                    meta property="og:video:type" content=(media_type);
                    meta property="og:video:width" content=(width);
                    meta property="og:video:height" content=(height);
                    meta name="twitter:card" content="player";
                    meta name="twitter:player" content=(embed);
                    meta name="twitter:player:width" content=(width);
                    meta name="twitter:player:height" content=(height);
                    meta name="twitter:player:stream" content=(video);
                    meta name="twitter:player:stream:content_type" content=(media_type);
                } @else {
                    meta property="og:type" content="website";
                    @if kind == Kind::Audio { meta property="og:audio" content=(video); }
                    meta name="twitter:card" content="summary_large_image";
                }
                meta name="twitter:title" content=(title);
                @if let Some(poster) = poster {
                    meta property="og:image" content=(poster);
                    meta property="og:image:type" content="image/jpeg";
                    meta property="og:image:alt" content=(title);
                    meta name="twitter:image" content=(poster);
                }
            }
            body {
                main {
                    @match kind {
                        Kind::Video => video.media src=(src) poster=[still] width=(width) height=(height) controls playsinline preload="metadata" aria-label=(title) {},
                        Kind::Audio => {
                            @if let Some(still) = still { img.wave src=(still) alt="" width="640" height="240"; }
                            audio.media src=(src) controls preload="metadata" aria-label=(title) {}
                        },
                        Kind::Image => img.media src=(src) alt=(title);,
                        Kind::Model | Kind::Archive => p { a href=(src) { "Download it" } },
                    }
                    h1 { (title) }
                }
            }
        }
    }
}

fn sorry(error: &ApiError) -> Markup {
    let title = error.code().status().canonical_reason().unwrap_or("Error");
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="stylesheet" href=(asset("watch", ".css"));
            }
            body { main { h1 { (title) } p { (error.detail()) } } }
        }
    }
}

/// Which page is to be embedded.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EmbedQuery {
    /// A link to a page (`/w/…`), as it was handed out.
    url: String,
    /// `json`, or nothing.
    format: Option<String>,
    /// The widest that fits.
    #[param(minimum = 1, maximum = 10000)]
    maxwidth: Option<u32>,
    /// The highest that fits.
    #[param(minimum = 1, maximum = 10000)]
    maxheight: Option<u32>,
}

/// How to embed a page, as <https://oembed.com> says.
#[derive(Serialize, ToSchema)]
pub(super) struct Embed {
    /// `video`, or `rich` for what is none.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Always `1.0`.
    version: &'static str,
    /// Always `clipkeep`.
    provider_name: &'static str,
    /// Where that is.
    provider_url: String,
    /// The page's title.
    title: String,
    /// The frame.
    html: String,
    /// Its width, in pixels.
    width: u32,
    /// Its height, in pixels.
    height: u32,
    /// The clip's still.
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail_url: Option<String>,
    /// Its width, in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail_width: Option<u32>,
    /// Its height, in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail_height: Option<u32>,
}

/// How another site embeds a page that plays a clip (oEmbed 1.0).
#[utoipa::path(get, path = "/oembed", tag = "delivery", params(EmbedQuery),
    responses((status = 200, body = Embed), (status = 400, description = "Not understood"),
        (status = 403, description = "The link is bad or has expired"),
        (status = 404, description = "No such page"), (status = 410, description = "The clip is lost, rejected or deleted"),
        (status = 501, description = "Only JSON is spoken"), (status = 503, description = "Its generation is on its way")))]
pub(super) async fn embed(
    State(app): State<AppState>,
    query: Result<Query<EmbedQuery>, QueryRejection>,
) -> Result<(HeaderMap, Json<Embed>), ApiError> {
    let Query(query) = query.map_err(|error| ApiError::new(Code::InvalidRequest, error.body_text()))?;
    if query.format.is_some_and(|format| !matches!(format.as_str(), "" | "json")) {
        return Err(ApiError::new(Code::NotImplemented, "format: only json is spoken"));
    }
    let url = Url::parse(&query.url).map_err(|_| ApiError::new(Code::NotFound, "url: no page is there"))?;
    let watched = find(&app, url.path(), url.query()).await?;
    let Watched { title, page, poster, width, height, clip, .. } = watched;
    let kind = clip.sealed.as_ref().map_or(clip.kind, |sealed| sealed.media.kind);
    // As stills are drawn.
    let drawn = if kind == Kind::Audio { (640, 240) } else { fitted((width, height), Some(640), Some(1280)) };
    let still = poster.map(|poster| (poster, drawn));
    let (width, height) = fitted((width, height), query.maxwidth, query.maxheight);
    let src = format!("{page}{}embed=1", if page.contains('?') { '&' } else { '?' });
    let frame = html! {
        iframe src=(src) width=(width) height=(height) title=(title) frameborder="0" allow="autoplay; fullscreen" allowfullscreen {}
    };
    let mut headers = HeaderMap::new();
    strict(&mut headers);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
    let embed = Embed {
        kind: if kind == Kind::Video { "video" } else { "rich" },
        version: "1.0",
        provider_name: "clipkeep",
        provider_url: app.config.public_url.to_string(),
        title,
        html: frame.into_string(),
        width,
        height,
        thumbnail_width: still.as_ref().map(|(_, (width, _))| *width),
        thumbnail_height: still.as_ref().map(|(_, (_, height))| *height),
        thumbnail_url: still.map(|(url, _)| url),
    };
    Ok((headers, Json(embed)))
}

/// A size of the same shape that is no wider and no higher.
fn fitted((width, height): (u32, u32), widest: Option<u32>, highest: Option<u32>) -> (u32, u32) {
    let fits =
        |most: Option<u32>, side: u32| most.map_or(1.0, |most| f64::from(most.max(1)) / f64::from(side)).min(1.0);
    let scale = fits(widest, width).min(fits(highest, height));
    let scaled = |side: u32| ((f64::from(side) * scale) as u32).max(1);
    (scaled(width), scaled(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_is_a_title_without_its_ending_and_without_tricks() {
        for (file, title) in [
            ("holiday.mp4", "holiday"),
            ("v1.2 final", "v1.2 final"),
            ("v1.2", "v1.2"),
            (".mp4", "Clip"),
            (" ", "Clip"),
            ("a\u{202e}4pm.exe", "a4pm"),
            ("\u{200f}", "Clip"),
        ] {
            assert_eq!(titled(file), title, "{file:?}");
        }
    }

    #[test]
    fn a_player_keeps_its_shape_where_it_must_be_smaller() {
        assert_eq!(fitted((1280, 720), None, None), (1280, 720));
        assert_eq!(fitted((1280, 720), Some(640), None), (640, 360));
        assert_eq!(fitted((1280, 720), Some(640), Some(90)), (160, 90));
        assert_eq!(fitted((1280, 720), Some(4000), Some(0)), (1, 1));
    }
}
