//! Calls to fal that pass through us: judged, given our key, read on their way,
//! and their answers given our URLs.
//!
//! Who may call is decided before. What a call is and what may pass is the
//! core's ([`clipkeep_core::proxy`]); how fal is reached is `provider`'s.

mod error;
mod generate;
mod record;
mod reply;
mod result;
mod stream;
mod upload;

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use clipkeep_core::{
    id::{Provider, RequestId, Tenant},
    proxy::{Call, FalHost, FollowUrls, TENANT_HEADER, Target, request_headers},
};
use http::{HeaderMap, Method, Response};
use http_body::Body as _;
use tokio::time::timeout;

pub use self::error::ProxyError;
use self::{
    reply::{Replace, UpstreamReply},
    upload::Upload,
};
use crate::{
    app::App,
    body_spool::SpooledBody,
    provider::{Outgoing, RelayError},
    shares::Share,
};

/// How long fal may take to begin its answer, and how much longer for each MiB
/// that it is sent.
const REPLY_TIMEOUT: Duration = Duration::from_secs(120);
const REPLY_TIMEOUT_PER_MIB: Duration = Duration::from_secs(1);
/// The same where the answer is the result.
const RUN_TIMEOUT: Duration = Duration::from_secs(3600);

/// A call of somebody who may call.
pub struct ProxyCall {
    pub target: Target,
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Body,
    /// The one tenant that may be spoken for, if it is only one.
    pub tenant: Option<Tenant>,
    /// Where the queue's own URLs shall lead, if not to it.
    pub follow: Option<FollowUrls>,
}

/// Passes a call to fal, and its answer back.
///
/// A call that makes a generation goes on to its end when its caller leaves;
/// any other ends with the future.
///
/// # Errors
/// If it is not passed, or fal does not answer. What fal does answer, its own
/// errors among it, is no error here.
pub async fn pass(app: &Arc<App>, call: ProxyCall) -> Result<Response<Body>, ProxyError> {
    let word = call.target.call.as_str();
    let of = call.tenant.clone();
    let passed = judged(app, call).await;
    if let Err(ProxyError::NoRoom) = &passed {
        tracing::warn!(
            tenant = of.as_ref().map(Tenant::as_str),
            used = app.body_spool.used(),
            "bodies that pass fill `proxy_disk`, or a tenant's share of it"
        );
    }
    app.metrics.proxied(word, passed.as_ref().map_or(0, |answer| answer.status().as_u16()));
    passed
}

async fn judged(app: &Arc<App>, call: ProxyCall) -> Result<Response<Body>, ProxyError> {
    let tenant = tenant(&call)?;
    if let (Some(tenant), Some(request_id)) = (&call.tenant, call.target.call.request_id()) {
        owned(app, tenant, request_id).await?;
    }
    if call.method == Method::POST && !call.body.is_end_stream() && !upload::is_json(&call.headers) {
        return Err(ProxyError::NotJson);
    }
    let ProxyCall { target, method, headers, body, follow, tenant: of } = call;
    // Connections are bounded, but whoever leaves makes room for another.
    let place = app.calls.take(of.as_ref(), 1).ok_or(ProxyError::Busy)?;
    let upload = Upload::read(body, SpooledBody::new(&app.body_spool, of.as_ref())).await?;
    let follow = follow.map(|follow| -> Replace { Arc::new(move |text: &str| follow.replace(text)) });
    let passing = Passing { target, method, headers, upload, tenant, of, follow, place: Arc::new(place) };
    match passing.target.call.clone() {
        Call::Submit { model } => {
            let app = Arc::clone(app);
            detached(&app.clone(), async move { generate::submit(&app, model, passing).await }).await
        }
        Call::Run { model } => {
            let app = Arc::clone(app);
            detached(&app.clone(), async move { generate::run(&app, model, passing).await }).await
        }
        Call::Result(request_id) => result::fetch(app, &request_id, passing).await,
        _ => {
            let follow = passing.follow.clone();
            Ok(passing.send(app).await?.pass(follow))
        }
    }
}

/// A call whose body is here.
struct Passing {
    target: Target,
    method: Method,
    headers: HeaderMap,
    upload: Upload,
    tenant: Option<Tenant>,
    /// The one tenant that whoever calls may speak for, if it is only one.
    of: Option<Tenant>,
    follow: Option<Replace>,
    /// Held for as long as the call goes on, with its caller or without.
    place: Arc<Share>,
}

impl Passing {
    async fn send(self, app: &App) -> Result<UpstreamReply, ProxyError> {
        let mib = u32::try_from(self.upload.captured.len >> 20).unwrap_or(u32::MAX);
        let patience = if self.target.host == FalHost::Run { RUN_TIMEOUT } else { REPLY_TIMEOUT };
        let patience = patience + REPLY_TIMEOUT_PER_MIB.saturating_mul(mib);
        let mut headers = request_headers(&self.headers);
        let body = self.upload.into_body(&mut headers).await?;
        let (host, method, path_and_query) = (self.target.host, self.method, self.target.path_and_query());
        let sent = app.relay.send(Outgoing { host, method, path_and_query, headers, body });
        let response = timeout(patience, sent).await.map_err(|_| RelayError::Timeout)??;
        Ok(UpstreamReply::new(response, SpooledBody::new(&app.body_spool, self.of.as_ref())))
    }
}

/// Whose generation it makes: a tenant's own, whatever a header says.
fn tenant(call: &ProxyCall) -> Result<Option<Tenant>, ProxyError> {
    if call.tenant.is_some() {
        return Ok(call.tenant.clone());
    }
    let Some(given) = call.headers.get(TENANT_HEADER).filter(|value| !value.is_empty()) else { return Ok(None) };
    let bad = |problem: String| ProxyError::BadTenant(problem);
    let text = given.to_str().map_err(|_| bad("is not ASCII".to_owned()))?;
    text.parse().map(Some).map_err(|error: clipkeep_core::id::IdError| bad(error.to_string()))
}

/// A tenant asks after its own generations alone. That it registered an id says
/// nothing: whoever has read one somewhere can.
async fn owned(app: &App, tenant: &Tenant, request_id: &RequestId) -> Result<(), ProxyError> {
    let owns = app.catalog.owns(tenant, &Provider::fal(), request_id).await.map_err(ProxyError::Catalog)?;
    if owns { Ok(()) } else { Err(ProxyError::NotYours) }
}

/// Runs what must not end because its caller leaves.
async fn detached(
    app: &App,
    work: impl Future<Output = Result<Response<Body>, ProxyError>> + Send + 'static,
) -> Result<Response<Body>, ProxyError> {
    let task = app.tasks.spawn(until_stopped(app, work));
    task.await.map_err(|_| ProxyError::Panicked)?.ok_or(ProxyError::Stopping)?
}

/// Work that a node which stops waits for as for any request, then gives up.
fn until_stopped<T, W: Future<Output = T> + Send>(
    app: &App,
    work: W,
) -> impl Future<Output = Option<T>> + Send + use<T, W> {
    let (stopping, grace) = (app.stopping.clone(), app.config.shutdown_grace);
    let over = async move {
        stopping.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    async move {
        tokio::select! {
            done = work => Some(done),
            () = over => {
                tracing::error!("a call to fal that makes a generation was given up, as clipkeep stops");
                None
            }
        }
    }
}
