//! `/fal/proxy`: the `proxyUrl` of fal's own clients. Which call is meant stands
//! in a header.

use std::net::IpAddr;

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    http::{Response, Uri, header},
};
use clipkeep_core::{
    id::Tenant,
    problem::Code,
    proxy::{FalHost, FollowUrls, TARGET_HEADER, Target, TargetError},
};

use super::{AppState, Peer, auth, error::ApiError};
use crate::{
    provider::RelayError,
    proxy::{self, ProxyCall, ProxyError},
};

/// Asks fal: a status, a stream of them, or a result.
///
/// `x-fal-target-url` says what is asked for. A result is recorded, and holds
/// our URLs in place of fal's (`rewrite_results`).
#[utoipa::path(
    get, path = "/fal/proxy", tag = "proxy", security(("token" = [])),
    params(("x-fal-target-url" = Option<String>, Header, description = "The URL at fal, as fal's clients send it")),
    responses(
        (status = 200, description = "fal's answer; its status and headers are fal's, too"),
        (status = 400, description = "No target, or none that passes"), (status = 401, description = "No token"),
        (status = 403, description = "Without a token, from another site's page; or fal forbids it"),
        (status = 404, description = "Not the tenant's own, or fal does not know it"),
        (status = 405, description = "Not a method of the target's"), (status = 412, description = "The target is not fal's"),
        (status = 422, description = "fal refuses the input"), (status = 429, description = "fal wants to be left alone for a while"),
        (status = 502, description = "fal cannot be reached"), (status = 503, description = "Not now"),
        (status = 504, description = "fal did not answer in time"),
    )
)]
pub(super) async fn ask_fal(
    State(app): State<AppState>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response<Body> {
    by_header(&app, peer, request).await
}

/// Submits to fal's queue, calls a model directly, begins or ends an upload, or
/// fetches a token.
///
/// A generation is recorded before its request id is answered, with the model,
/// the input, its prompt and seed, and the tenant that `x-clipkeep-tenant`
/// names. Our webhook is added to a submit that names none.
#[utoipa::path(
    post, path = "/fal/proxy", tag = "proxy", security(("token" = [])),
    params(("x-fal-target-url" = Option<String>, Header, description = "The URL at fal, as fal's clients send it"),
        ("x-clipkeep-tenant" = Option<String>, Header, description = "Whose generation it is; a tenant's token speaks for itself")),
    request_body(content = String, content_type = "application/json", description = "The model's input"),
    responses(
        (status = 200, description = "fal's answer; its status and headers are fal's, too"),
        (status = 400, description = "No target, or none that passes"), (status = 401, description = "No token"),
        (status = 403, description = "Without a token, from another site's page; or fal forbids it"),
        (status = 405, description = "Not a method of the target's"), (status = 412, description = "The target is not fal's"),
        (status = 413, description = "Larger than 1 GiB"), (status = 415, description = "Not JSON"),
        (status = 422, description = "fal refuses the input"), (status = 429, description = "fal wants to be left alone for a while"),
        (status = 502, description = "fal cannot be reached"), (status = 503, description = "Not now"),
        (status = 504, description = "fal did not answer in time"),
    )
)]
pub(super) async fn call_fal(
    State(app): State<AppState>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response<Body> {
    by_header(&app, peer, request).await
}

/// Gives a generation up.
#[utoipa::path(
    put, path = "/fal/proxy", tag = "proxy", security(("token" = [])),
    params(("x-fal-target-url" = Option<String>, Header, description = "The URL at fal, as fal's clients send it")),
    responses(
        (status = 202, description = "fal's answer; its status and headers are fal's, too"),
        (status = 400, description = "No target, or none that passes"), (status = 401, description = "No token"),
        (status = 403, description = "Without a token, from another site's page; or fal forbids it"),
        (status = 404, description = "Not the tenant's own, or fal does not know it"),
        (status = 405, description = "Not a method of the target's"), (status = 412, description = "The target is not fal's"),
        (status = 422, description = "fal refuses the input"), (status = 429, description = "fal wants to be left alone for a while"),
        (status = 502, description = "fal cannot be reached"), (status = 503, description = "Not now"),
        (status = 504, description = "fal did not answer in time"),
    )
)]
pub(super) async fn cancel_at_fal(
    State(app): State<AppState>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response<Body> {
    by_header(&app, peer, request).await
}

async fn by_header(app: &AppState, Peer(peer): Peer, request: Request) -> Response<Body> {
    let target = |request: &Request| {
        let given = request.headers().get(TARGET_HEADER);
        let given =
            given.ok_or_else(|| ApiError::new(Code::InvalidRequest, "the header x-fal-target-url is missing"))?;
        Target::judge(request.method(), given.to_str().unwrap_or_default()).map_err(refused)
    };
    passed(app, peer, request, target, None).await.unwrap_or_else(ApiError::for_fals_clients)
}

/// Answers for the gateway: fal's paths stand at its root, and its host says
/// which service is meant.
pub(super) async fn at_gateway(
    State(app): State<AppState>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Response<Body> {
    let front = Front::of(&request);
    let target = |request: &Request| {
        let front = front.as_ref().ok_or_else(|| ApiError::new(Code::InvalidRequest, "the request names no host"))?;
        let uri: &Uri = request.uri();
        Target::at(front.service(), request.method(), uri.path(), uri.query()).map_err(refused)
    };
    let follow = front.as_ref().map(|front| {
        let queues = ["https://queue.fal.run", "https://queue.falrun.com", app.config.fal_queue_url.as_str()];
        FollowUrls::new(queues.map(str::to_owned), front.base())
    });
    passed(&app, peer, request, target, follow).await.unwrap_or_else(ApiError::for_fals_clients)
}

async fn passed(
    app: &AppState,
    peer: IpAddr,
    request: Request,
    target: impl FnOnce(&Request) -> Result<Target, ApiError>,
    follow: Option<FollowUrls>,
) -> Result<Response<Body>, ApiError> {
    let tenant: Option<Tenant> = auth::fal_caller(app, request.headers(), peer).await?;
    let target = target(&request)?;
    let (parts, body) = request.into_parts();
    let (method, headers) = (parts.method, parts.headers);
    Ok(proxy::pass(app, ProxyCall { target, method, headers, body, tenant, follow }).await?)
}

/// How the gateway was called.
struct Front {
    scheme: &'static str,
    host: String,
}

impl Front {
    fn of(request: &Request) -> Option<Self> {
        let first = |name: &str| {
            let value = request.headers().get(name)?.to_str().ok()?;
            Some(value.split(',').next().unwrap_or(value).trim().to_owned())
        };
        let host = first("x-forwarded-host").or_else(|| first(header::HOST.as_str()))?;
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_host) {
            return None;
        }
        // Clients that take only a host speak https, to whatever stands in front.
        let scheme = if first("x-forwarded-proto").as_deref() == Some("http") { "http" } else { "https" };
        Some(Self { scheme, host })
    }

    /// `queue.` stands before the host of direct calls, at fal as here.
    fn service(&self) -> FalHost {
        let label = self.host.split(['.', ':']).next().unwrap_or_default();
        if label.eq_ignore_ascii_case("queue") { FalHost::Queue } else { FalHost::Run }
    }

    fn base(&self) -> String {
        format!("{}://{}", self.scheme, self.host)
    }
}

fn refused(error: TargetError) -> ApiError {
    let code = match error {
        TargetError::NotFal => Code::ForbiddenTarget,
        TargetError::Method => Code::MethodNotAllowed,
        TargetError::NotAllowed => Code::InvalidRequest,
    };
    ApiError::new(code, error.to_string())
}

impl From<ProxyError> for ApiError {
    fn from(error: ProxyError) -> Self {
        let code = match error {
            ProxyError::BadTenant(_) | ProxyError::Body(_) => Code::InvalidRequest,
            ProxyError::NotYours => Code::NotFound,
            ProxyError::NotJson => Code::UnsupportedMediaType,
            ProxyError::TooLarge { .. } => Code::TooLarge,
            ProxyError::Busy | ProxyError::Stopping | ProxyError::NoRoom => {
                return Self::new(Code::Unavailable, error.to_string()).retry_after(5);
            }
            ProxyError::Relay(RelayError::Timeout) => Code::ProviderTimeout,
            ProxyError::Relay(RelayError::Unreachable(_)) => Code::ProviderUnreachable,
            ProxyError::Relay(RelayError::NoKey) => Code::Unavailable,
            ProxyError::Catalog(error) => return error.into(),
            ProxyError::BodySpool(_) | ProxyError::Panicked => {
                tracing::error!(error = &error as &dyn std::error::Error, "a call to fal failed within");
                Code::Internal
            }
        };
        if let ProxyError::Relay(error) = &error {
            tracing::warn!(error = error as &dyn std::error::Error, "fal gave no answer to pass on");
        }
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(headers: &[(&str, &str)]) -> Option<Front> {
        let builder = headers.iter().fold(Request::builder(), |b, (name, value)| b.header(*name, *value));
        Front::of(&builder.body(Body::empty()).unwrap())
    }

    #[test]
    fn the_host_that_was_asked_says_which_service_is_meant() {
        for (headers, service, base) in [
            (&[("host", "queue.fal.example.com")][..], FalHost::Queue, "https://queue.fal.example.com"),
            (&[("host", "fal.example.com:8443")], FalHost::Run, "https://fal.example.com:8443"),
            (&[("host", "queue:8443")], FalHost::Queue, "https://queue:8443"),
            (&[("host", "queues.example.com")], FalHost::Run, "https://queues.example.com"),
            (&[("host", "[::1]:9"), ("x-forwarded-proto", "http")], FalHost::Run, "http://[::1]:9"),
            (&[("host", "10.0.0.1"), ("x-forwarded-host", "queue.a, b")], FalHost::Queue, "https://queue.a"),
        ] {
            let front = front(headers).unwrap();
            assert_eq!((front.service(), front.base().as_str()), (service, base));
        }
        for none in [&[][..], &[("host", "")], &[("host", "a\"b")], &[("host", "a/b")], &[("host", "u@h")]] {
            assert!(front(none).is_none(), "{none:?}");
        }
    }
}
