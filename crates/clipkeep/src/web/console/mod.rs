//! `GET /`: the console. Server-rendered, of the same binary; no page asks
//! another host for anything, and all but live progress and endless scrolling
//! works without scripts.
//!
//! - `session`: who looks, and forms that no other site can send.
//! - `layout`: what all pages share. `parts`: what several show.
//! - one file a room.

mod assets;
mod clip;
mod clip_forms;
mod costs;
mod events;
mod health;
mod layout;
mod library;
mod live;
mod login;
mod parts;
mod queue;
mod session;
mod tokens;
mod usage;

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{AppState, error::ApiError};
use crate::{auth::IssueError, catalog::CatalogError};

/// Every page and form.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(library::show))
        .route("/console", get(home))
        .route("/console/", get(home))
        .route("/login", get(login::show).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/console/clips/{key}", get(clip::show))
        .route("/console/clips/{key}/link", post(clip_forms::make_link).get(clip_forms::back))
        .route("/console/clips/{key}/revoke", post(clip_forms::revoke_links).get(clip_forms::back))
        .route("/console/clips/{key}/fill", post(clip_forms::fill).get(clip_forms::back))
        .route("/console/clips/{key}/delete", post(clip_forms::delete).get(clip_forms::back))
        .route("/console/queue", get(queue::show))
        .route("/console/queue/live", get(live::stream))
        .route("/console/events", get(events::show))
        .route("/console/events/replay", post(events::replay))
        .route("/console/usage", get(usage::show))
        .route("/console/costs", get(costs::show))
        .route("/console/tokens", get(tokens::show).post(tokens::create))
        .route("/console/tokens/{id}/revoke", post(tokens::revoke))
        .route("/console/health", get(health::show))
}

async fn home() -> Response {
    session::redirect("/")
}

/// Why there is no page at an address of the console's or of a shared page.
pub(super) fn nothing_at(path: &str, error: ApiError) -> Response {
    let is_page = ["/console", "/login", "/logout", "/w/"].iter().any(|start| path.starts_with(start));
    if is_page { layout::trouble(&error) } else { error.into_response() }
}

/// What a node without a console serves, too: pages that are shared need it.
pub(super) fn asset_routes() -> Router<AppState> {
    Router::new().route("/assets/{name}", get(assets::get))
}

pub(super) use self::{assets::asset, layout::strict};

/// Why there is no page. Shown as one, with the error's own words.
pub(super) enum Trouble {
    Error(ApiError),
    /// The visitor is led elsewhere, such as to the log-in.
    Elsewhere(Box<Response>),
}

impl From<ApiError> for Trouble {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

impl From<CatalogError> for Trouble {
    fn from(error: CatalogError) -> Self {
        Self::Error(error.into())
    }
}

impl From<IssueError> for Trouble {
    fn from(error: IssueError) -> Self {
        Self::Error(error.into())
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        match self {
            Self::Error(error) => layout::trouble(&error),
            Self::Elsewhere(response) => *response,
        }
    }
}
