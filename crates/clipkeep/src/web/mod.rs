//! HTTP: every route on one page, and what lies around them.

mod api;
mod auth;
mod body;
mod browser;
mod clips;
mod console;
mod document;
mod early_type;
mod error;
mod extension_redirect;
mod framing;
mod hooks;
mod internal;
mod json;
mod listen;
mod ops;
mod posters;
mod proxy;
mod read_body;
mod resolve;
mod slots;
mod timer;
mod usage_body;
mod watch;
mod wire;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Request},
    http::{HeaderValue, Response, Uri, header},
    middleware::{Next, from_fn},
    routing::get,
};
use clipkeep_core::problem::Code;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::api::{DuplicateRow, HistoryRow, TokenRow};
use self::{error::ApiError, listen::Manners};
pub use crate::dto::{ClipRow, GenerationRow};
use crate::{app::App, descriptors, usage::Answer};

type AppState = Arc<App>;

fn documented() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(document::ApiDoc::openapi())
        // The providers call.
        .routes(routes!(hooks::receive_hook))
        // The app calls fal.
        .routes(routes!(proxy::ask_fal, proxy::call_fal, proxy::cancel_at_fal))
        // Viewers call; answered before this router, here for the document.
        .routes(routes!(clips::deliver))
        .routes(routes!(internal::view))
        .routes(routes!(watch::watch))
        .routes(routes!(watch::embed))
        // The app calls, with a token.
        .routes(routes!(api::generations::register_generation))
        .routes(routes!(api::generations::get_generation))
        .routes(routes!(api::clips::list_clips))
        .routes(routes!(api::export::export_clips))
        .routes(routes!(api::duplicates::list_duplicates))
        .routes(routes!(api::clips::get_clip, api::clips::delete_clip))
        .routes(routes!(api::clips::get_history))
        .routes(routes!(api::lineage::get_lineage))
        .routes(routes!(api::clips::fill_clip))
        .routes(routes!(api::receipts::get_receipt))
        .routes(routes!(api::risk::list_at_risk))
        .routes(routes!(api::links::create_link))
        .routes(routes!(api::revocations::revoke_links_of))
        .routes(routes!(api::revocations::revoke))
        .routes(routes!(api::events::stream_events))
        .routes(routes!(api::usage::get_usage))
        .routes(routes!(api::costs::get_costs))
        // Anybody calls.
        .routes(routes!(api::receipts::receipt_keys))
        // Operators call.
        .routes(routes!(api::tokens::list_tokens, api::tokens::create_token))
        .routes(routes!(api::tokens::revoke_token))
        .routes(routes!(ops::healthz))
        .routes(routes!(ops::readyz))
        .routes(routes!(ops::metrics))
}

/// The OpenAPI document of this version.
pub fn openapi() -> utoipa::openapi::OpenApi {
    document::complete(documented().to_openapi())
}

fn router(app: AppState) -> Router {
    let (router, document) = documented().split_for_parts();
    let console = if app.config.console { console::routes() } else { Router::new() };
    let document = bytes::Bytes::from(serde_json::to_vec(&document::complete(document)).unwrap_or_default());
    router
        .route(
            "/openapi.json",
            get(move || std::future::ready(([(header::CONTENT_TYPE, "application/json")], document))),
        )
        .merge(console::asset_routes())
        .merge(console)
        .fallback(async |uri: Uri| nowhere(&uri))
        .method_not_allowed_fallback(async |uri: Uri| {
            let error = ApiError::new(Code::MethodNotAllowed, "this path does not take that method");
            console::nothing_at(uri.path(), error)
        })
        .layer(from_fn(readable))
        .layer(from_fn(framing::measured))
        .layer(from_fn(observe))
        .with_state(app)
}

/// What a path names is text: one that is none names nothing here.
async fn readable(request: Request, next: Next) -> Response<Body> {
    if percent_encoding::percent_decode_str(request.uri().path()).decode_utf8().is_err() {
        return nowhere(request.uri());
    }
    next.run(request).await
}

fn nowhere(uri: &Uri) -> Response<Body> {
    console::nothing_at(uri.path(), ApiError::new(Code::NotFound, "there is nothing at this path"))
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
    fn is_viewer(request: &Request<Incoming>) -> bool {
        let path = request.uri().path();
        path.starts_with("/v/") || path.starts_with("/p/")
    }

    fn is_by_fals_client(request: &Request<Incoming>) -> bool {
        request.uri().path() == "/fal/proxy"
    }

    /// Clips take the short way; all else goes through the router.
    async fn answer(&self, request: Request<Incoming>, from: IpAddr) -> (Response<Body>, Option<Answer>) {
        if request.uri().path().starts_with("/v/") {
            return clips::answer(&self.app, &request.into_parts().0, from).await;
        }
        if request.uri().path().starts_with("/p/") {
            return posters::answer(&self.app, &request.into_parts().0, from).await;
        }
        (routed(&self.router, request, from).await, None)
    }
}

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
struct Peer(IpAddr);

async fn routed(router: &Router, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(Peer(peer));
    match router.clone().call(request).await {
        Ok(response) => response,
    }
}

/// fal's own paths at the root, for clients that take only a host.
struct Gateway(Router);

impl listen::Answer for Gateway {
    fn is_viewer(_: &Request<Incoming>) -> bool {
        false
    }

    fn is_by_fals_client(_: &Request<Incoming>) -> bool {
        true
    }

    async fn answer(&self, request: Request<Incoming>, from: IpAddr) -> (Response<Body>, Option<Answer>) {
        (routed(&self.0, request, from).await, None)
    }
}

/// Serves the gateway of `app` on `listener` until `stop`, then lets running
/// requests end.
pub async fn serve_gateway(app: AppState, listener: TcpListener, stop: CancellationToken) {
    let manners = Manners::of(&app, descriptors::share(16));
    let router = Router::new()
        .fallback(proxy::at_gateway)
        .layer(from_fn(framing::measured))
        .layer(from_fn(observe))
        .with_state(app);
    listen::serve(listener, Arc::new(Gateway(router)), manners, stop).await;
}

/// Serves `app` on `listener` until `stop`, then lets running requests end.
pub async fn serve(app: AppState, listener: TcpListener, stop: CancellationToken) {
    let front = Arc::new(Front { router: router(Arc::clone(&app)), app: Arc::clone(&app) });
    // Streams have no end of their own, and must not hold up the others'.
    let end_streams = async {
        stop.cancelled().await;
        app.event_stream.end();
    };
    let served = listen::serve(listener, front, Manners::of(&app, 5 * descriptors::share(8)), stop.clone());
    tokio::join!(served, end_streams);
    app.usage.flush().await;
}
