//! What all pages of the console share: head, rooms, and what keeps them safe.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};

use super::{assets::asset, session::Visitor};
use crate::{auth::Caller, web::error::ApiError};

/// No script and no style but our own files', nothing from other hosts, no frame
/// around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Library,
    Queue,
    Events,
    Usage,
    Costs,
    Tokens,
    Health,
}

const ROOMS: [Room; 7] =
    [Room::Library, Room::Queue, Room::Events, Room::Usage, Room::Costs, Room::Tokens, Room::Health];

impl Room {
    const fn name(self) -> &'static str {
        match self {
            Self::Library => "Library",
            Self::Queue => "Queue",
            Self::Events => "Events",
            Self::Usage => "Usage",
            Self::Costs => "Costs",
            Self::Tokens => "Tokens",
            Self::Health => "Health",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Library => "/",
            Self::Queue => "/console/queue",
            Self::Events => "/console/events",
            Self::Usage => "/console/usage",
            Self::Costs => "/console/costs",
            Self::Tokens => "/console/tokens",
            Self::Health => "/console/health",
        }
    }

    const fn is_for_tenants(self) -> bool {
        !matches!(self, Self::Tokens | Self::Health)
    }
}

/// A whole page.
pub(super) fn page(visitor: &Visitor, room: Room, title: &str, body: &Markup) -> Response {
    let is_open = |room: &&Room| visitor.caller == Caller::Admin || room.is_for_tenants();
    let whole = html! {
        a.skip href="#main" { "Skip to content" }
        header.top {
            a.brand href="/" { "clipkeep" }
            nav aria-label="Rooms" {
                ul {
                    @for one in ROOMS.iter().filter(is_open) {
                        li { a href=(one.path()) aria-current=[(*one == room).then_some("page")] { (one.name()) } }
                    }
                }
            }
            form.who method="post" action="/logout" {
                input type="hidden" name="csrf" value=(visitor.csrf);
                span.quiet {
                    @match visitor.caller.tenant() {
                        Some(tenant) => (tenant),
                        None => "admin",
                    }
                }
                button type="submit" { "Log out" }
            }
        }
        main #main tabindex="-1" { (body) }
    };
    respond(StatusCode::OK, title, &whole)
}

/// A page without rooms: the log-in, and errors.
pub(super) fn bare(status: StatusCode, title: &str, body: &Markup) -> Response {
    respond(status, title, &html! { main.bare #main { (body) } })
}

/// An error as a page.
pub(super) fn trouble(error: &ApiError) -> Response {
    let status = error.code().status();
    let title = status.canonical_reason().unwrap_or("Error");
    let mut response = bare(
        status,
        title,
        &html! {
            h1 { (title) }
            p { (error.detail()) }
            p { a href="/" { "To the library" } }
        },
    );
    if let Some(secs) = error.seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, secs.into());
    }
    response
}

/// The same page, asked for from here: then the browser shows its cookie.
pub(super) fn once_more() -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content="0";
                title { "clipkeep" }
            }
            body { p { a href="" { "Go on" } } }
        }
    };
    finish(StatusCode::OK, &page)
}

fn respond(status: StatusCode, title: &str, body: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) " · clipkeep" }
                link rel="stylesheet" href=(asset("console", ".css"));
                link rel="icon" href=(asset("icon", ".svg")) type="image/svg+xml";
                script src=(asset("console", ".js")) defer {}
            }
            body { (body) }
        }
    };
    finish(status, &page)
}

fn finish(status: StatusCode, page: &Markup) -> Response {
    let mut response = (status, page.0.clone()).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    strict(response.headers_mut());
    response
}

/// What every answer of the console carries.
pub(in crate::web) fn strict(headers: &mut HeaderMap) {
    let fixed: [(HeaderName, &'static str); 6] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// A piece of a page, for scripts.
pub(super) fn fragment(body: &Markup) -> Response {
    finish(StatusCode::OK, body)
}
