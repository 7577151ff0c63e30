//! HTTP: every route on one page, and what lies around them.

mod api;
mod auth;
mod body;
mod clips;
mod error;
mod hooks;
mod listen;
mod metered;
mod ops;
mod shelve;
mod wire;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Request},
    http::{HeaderValue, Response, header},
    middleware::{Next, from_fn},
    routing::get,
};
use clipkeep_core::problem::Code;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::api::HistoryRow;
use self::error::ApiError;
pub use crate::rows::{ClipRow, GenerationRow};
use crate::{app::App, usage::Answer};

type AppState = Arc<App>;

#[derive(OpenApi)]
#[openapi(
    info(title = "clipkeep", description = "Keeps AI video: copies generated clips into your own bucket and serves them."),
    modifiers(&AdminToken),
    tags((name = "hooks"), (name = "delivery"), (name = "generations"), (name = "clips"), (name = "links"), (name = "events"), (name = "usage"), (name = "ops"))
)]
struct ApiDoc;

struct AdminToken;

impl Modify for AdminToken {
    fn modify(&self, doc: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = doc.components.get_or_insert_default();
        components.add_security_scheme("admin_token", SecurityScheme::Http(scheme));
    }
}

fn documented() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        // The provider calls.
        .routes(routes!(hooks::receive_fal))
        // Viewers call; answered before this router, here for the document.
        .routes(routes!(clips::deliver))
        // The app calls, with a token.
        .routes(routes!(api::generations::register_generation))
        .routes(routes!(api::generations::get_generation))
        .routes(routes!(api::clips::list_clips))
        .routes(routes!(api::clips::get_clip, api::clips::delete_clip))
        .routes(routes!(api::clips::get_history))
        .routes(routes!(api::clips::fill_clip))
        .routes(routes!(api::receipts::get_receipt))
        .routes(routes!(api::risk::list_at_risk))
        .routes(routes!(api::links::create_link))
        .routes(routes!(api::events::stream_events))
        .routes(routes!(api::usage::get_usage))
        .routes(routes!(api::costs::get_costs))
        // Anybody calls.
        .routes(routes!(api::receipts::receipt_keys))
        // Operators call.
        .routes(routes!(ops::healthz))
        .routes(routes!(ops::readyz))
        .routes(routes!(ops::metrics))
}

/// The OpenAPI document of this version.
pub fn openapi() -> utoipa::openapi::OpenApi {
    documented().to_openapi()
}

fn router(app: AppState) -> Router {
    let (router, document) = documented().split_for_parts();
    let document = bytes::Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    router
        .route(
            "/openapi.json",
            get(move || std::future::ready(([(header::CONTENT_TYPE, "application/json")], document))),
        )
        .fallback(|| std::future::ready(ApiError::new(Code::NotFound, "there is nothing at this path")))
        .method_not_allowed_fallback(|| {
            std::future::ready(ApiError::new(Code::MethodNotAllowed, "this path does not take that method"))
        })
        .layer(from_fn(observe))
        .with_state(app)
}

/// Gives each request an id, and the log a line for it: method, route pattern,
/// status, time. Never the query, which may be signed.
async fn observe(request: Request, next: Next) -> Response<Body> {
    let began = tokio::time::Instant::now();
    let id = request_id();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let status = response.status().as_u16();
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(request_id = id, %method, route, status, millis, "answered");
    response
}

fn request_id() -> String {
    let mut bytes = [0; 8];
    // Without randomness the id is all zeros: useless for tracing, harmless else.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    data_encoding::HEXLOWER.encode(&bytes)
}

struct Front {
    app: AppState,
    router: Router,
}

impl listen::Answer for Front {
    /// Clips take the short way; all else goes through the router.
    async fn answer(&self, request: Request<Incoming>, from: IpAddr) -> (Response<Body>, Option<Answer>) {
        if request.uri().path().starts_with("/v/") {
            return clips::answer(&self.app, &request.into_parts().0, from).await;
        }
        match self.router.clone().call(request.map(Body::new)).await {
            Ok(response) => (response, None),
        }
    }
}

/// Serves `app` on `listener` until `stop`, then lets running requests end.
pub async fn serve(app: AppState, listener: TcpListener, stop: CancellationToken) {
    let front = Arc::new(Front { router: router(Arc::clone(&app)), app: Arc::clone(&app) });
    // Streams have no end of their own, and must not hold up the others'.
    let end_streams = async {
        stop.cancelled().await;
        app.feed.end();
    };
    let served = listen::serve(listener, front, app.config.max_connections, stop.clone(), app.config.shutdown_grace);
    tokio::join!(served, end_streams);
    app.usage.flush().await;
}
