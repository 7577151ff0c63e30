//! The API hosts: what queue, direct calls, storage and uploads share. Each
//! stands under a path of its own (`/queue`, `/run`, `/rest`, `/upload`,
//! `/platform`); what
//! stands under none is told apart by the `Host` header, as fal does it.

use std::{collections::HashMap, net::Shutdown, os::fd::AsFd, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::{ConnectInfo, Query, Request, State, connect_info::Connected},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
    serve::IncomingStream,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    calls::{Call, Calls},
    input,
    outage::{Outage, Outages},
    platform, queue, rest, run,
    server::Sim,
    uploads::{self, Uploads},
};

#[derive(Default)]
pub(crate) struct Api {
    pub(crate) calls: Calls,
    pub(crate) outages: Outages,
    pub(crate) uploads: Uploads,
    pub(crate) tokens: rest::Tokens,
}

/// The socket of a connection, to break it.
#[derive(Clone)]
pub(crate) struct Wire(Option<Arc<std::net::TcpStream>>);

impl Connected<IncomingStream<'_, TcpListener>> for Wire {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(stream.io().as_fd().try_clone_to_owned().ok().map(|fd| Arc::new(fd.into())))
    }
}

impl Wire {
    fn cut(&self) {
        if let Some(socket) = &self.0 {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Host {
    Queue,
    Run,
    Rest,
    Upload,
    Platform,
}

/// A call as its host sees it.
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// Without the host's own path, and without a slash before it.
    pub(crate) path: String,
    pub(crate) query: HashMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

impl Asked {
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|segment| !segment.is_empty()).collect()
    }
}

pub(crate) fn router() -> Router<Sim> {
    Router::new().route("/.well-known/jwks.json", get(jwks)).fallback(handle)
}

async fn jwks(State(sim): State<Sim>) -> Response {
    match sim.published_keys() {
        Some(keys) => Json(keys).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn handle(State(sim): State<Sim>, ConnectInfo(wire): ConnectInfo<Wire>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (host, path) = place(&parts.uri, &parts.headers);
    let call = Call::new(&parts, format!("{}/{path}", host.base()));
    sim.api().calls.add(call.clone());
    let body = call.noted(body);
    let Query(query) = Query::try_from_uri(&parts.uri).unwrap_or_default();
    let asked = Asked { method: parts.method, path, query, headers: parts.headers, body };
    if let Some(outage) = sim.api().outages.meet(&call.path) {
        tokio::time::sleep(outage.stall_time()).await;
        if outage.cut && outage.status.is_none() {
            wire.cut();
            return StatusCode::NO_CONTENT.into_response();
        }
        if let Some(response) = outage.answer() {
            return refuse(&call, asked.body, response).await;
        }
    }
    if host != Host::Upload && !may(&sim, &asked) {
        let text = "Cannot access application. Authentication is required.";
        return refuse(&call, asked.body, detail(StatusCode::UNAUTHORIZED, text)).await;
    }
    let response = match host {
        Host::Queue => queue::answer(&sim, asked).await,
        Host::Run => run::answer(&sim, asked).await,
        Host::Rest => rest::answer(&sim, asked).await,
        Host::Upload => uploads::answer(&sim, asked).await,
        Host::Platform => platform::answer(&sim, asked).await,
    };
    call.set_status(response.status().as_u16());
    response
}

/// Answers, once the body is read: whoever still sends hears it then.
async fn refuse(call: &Call, body: Body, response: Response) -> Response {
    input::drain(body).await;
    call.set_status(response.status().as_u16());
    response
}

impl Host {
    const fn base(self) -> &'static str {
        match self {
            Self::Queue => "/queue",
            Self::Run => "/run",
            Self::Rest => "/rest",
            Self::Upload => "/upload",
            Self::Platform => "/platform",
        }
    }
}

/// Whose call it is, and the path there.
fn place(uri: &Uri, headers: &HeaderMap) -> (Host, String) {
    for host in [Host::Queue, Host::Run, Host::Rest, Host::Upload, Host::Platform] {
        if let Some(path) = uri.path().strip_prefix(host.base()).and_then(|rest| rest.strip_prefix('/')) {
            return (host, path.to_owned());
        }
    }
    let name = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let host = match name.split('.').next() {
        Some("queue") => Host::Queue,
        Some("rest") => Host::Rest,
        Some("api") => Host::Platform,
        _ => Host::Run,
    };
    (host, uri.path().trim_start_matches('/').to_owned())
}

/// Whether the call brings the account's key, or a token that was issued.
fn may(sim: &Sim, asked: &Asked) -> bool {
    let Some(key) = &sim.options().key else { return true };
    let given = asked.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = asked.query.get("fal_jwt_token");
    given == Some(&format!("Key {key}")) || token.is_some_and(|token| sim.api().tokens.holds(token))
}

pub(crate) fn detail(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({"detail": text}))).into_response()
}

/// The input of a call: its body, or its query with GET.
pub(crate) async fn input(asked: Asked) -> Result<Value, Response> {
    if asked.method == Method::GET {
        return Ok(json!(asked.query));
    }
    input::read(asked.body).await.map_err(|text| detail(StatusCode::UNPROCESSABLE_ENTITY, text))
}

impl Sim {
    /// The queue, for `fal_queue_url`.
    pub fn queue_url(&self) -> String {
        format!("{}{}", self.base_url(), Host::Queue.base())
    }

    /// Direct calls, for `fal_run_url`.
    pub fn run_url(&self) -> String {
        format!("{}{}", self.base_url(), Host::Run.base())
    }

    /// The platform API, for `fal_api_url`.
    pub fn platform_url(&self) -> String {
        format!("{}{}", self.base_url(), Host::Platform.base())
    }

    /// Storage and tokens, for `fal_rest_url`.
    pub fn rest_url(&self) -> String {
        format!("{}{}", self.base_url(), Host::Rest.base())
    }

    pub(crate) fn upload_url(&self) -> String {
        format!("{}{}", self.base_url(), Host::Upload.base())
    }

    /// What goes wrong with coming calls of the API hosts: of each call, the
    /// first that fits.
    pub fn set_outages(&self, outages: Vec<Outage>) {
        self.api().outages.set(outages);
    }

    /// The newest calls of the API hosts, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.api().calls.all()
    }
}
