//! What is wrong with a request before anybody looks at what it asks for, and
//! answers that HTTP/1.0 has no words for.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header},
    middleware::Next,
    response::IntoResponse as _,
};
use bytes::BytesMut;
use clipkeep_core::{delivery::header::write_common, problem::Code};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::{
    sync::Semaphore,
    time::{Duration, timeout},
};

use super::error::ApiError;

/// How much of an answer without a length is gathered to measure it.
const MAX_GATHERED: usize = 4 << 20;
/// How many answers are gathered at once.
static GATHERINGS: Semaphore = Semaphore::const_new(8);
/// How long that may take.
const GATHER_TIMEOUT: Duration = Duration::from_secs(10);

/// The answer to a request that is wrong as a message (RFC 9112), whatever it
/// asks for; and to one that asks for nothing but an answer.
pub(super) fn refused<B>(request: &http::Request<B>, by_fals_client: bool) -> Option<Response<Body>> {
    let (version, headers) = (request.version(), request.headers());
    let closing = |error: ApiError| {
        if by_fals_client { closing(error.for_fals_clients()) } else { closing(error.into_response()) }
    };
    if let Some(why) = wrong_host(version, headers) {
        return Some(closing(ApiError::new(Code::InvalidRequest, why)));
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_plain = codings.next().is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if !is_plain || codings.next().is_some() {
        // Section 6.1: to read it as if only `chunked` stood there would be to
        // take coded bytes for the body.
        return Some(closing(ApiError::new(Code::NotImplemented, "of transfer codings only chunked is understood")));
    }
    if headers.get_all(header::CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Some(closing(ApiError::new(Code::UnsupportedMediaType, "bodies are taken without a content coding")));
    }
    (request.method() == Method::OPTIONS && request.uri().path() == "*").then(|| {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let allow = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS");
        response.headers_mut().insert(header::ALLOW, allow);
        response
    })
}

/// The answer to a viewer for whom there is no room.
pub(super) fn crowded() -> Response<Body> {
    let crowded = ApiError::new(Code::Unavailable, "this node has as many viewers as it can take").retry_after(2);
    let mut response = closing(crowded.into_response());
    write_common(response.headers_mut());
    response
}

/// Where one message ends and the next begins is in doubt, or its body is not
/// going to be read.
fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A body that is shorter than this is here with its head, or nearly.
const SHORT: u64 = 16 * 1024;

/// Whether a request's body may be on its way yet when it is refused: a client that
/// sent all of it would take the connection for one that stays.
pub(super) fn has_long_body<B: hyper::body::Body>(request: &http::Request<B>) -> bool {
    !request.body().is_end_stream() && request.body().size_hint().exact().is_none_or(|len| len > SHORT)
}

/// The answer to a request with a long body: if that was not asked for, or is
/// refused, nobody may have read all of it.
pub(super) fn after_long_body(method: &Method, response: Response<Body>) -> Response<Body> {
    let takes_bodies = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    let status = response.status();
    let is_read = takes_bodies && !status.is_client_error() && !status.is_server_error();
    if is_read { response } else { closing(response) }
}

/// Section 3.2: one `Host`, and a right one; HTTP/1.0 may do without.
fn wrong_host(version: Version, headers: &HeaderMap) -> Option<&'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => None,
        (None, _) => Some("the request names no Host"),
        (Some(_), Some(_)) => Some("the request names more than one Host"),
        (Some(host), None) if !is_host(host.as_bytes()) => Some("the request's Host is none"),
        (Some(_), None) => None,
    }
}

/// Whether this is `uri-host [":" port]` (RFC 3986, section 3.2.2).
fn is_host(field: &[u8]) -> bool {
    let (host, port) = match field {
        [b'[', rest @ ..] => match rest.iter().position(|&b| b == b']') {
            Some(end) if rest[..end].iter().all(|b| b.is_ascii_hexdigit() || b":.".contains(b)) => {
                rest.split_at(end + 1)
            }
            _ => return false,
        },
        _ => field.split_at(field.iter().position(|&b| b == b':').unwrap_or(field.len())),
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:]".contains(b);
    is_port && !host.is_empty() && host.iter().all(is_name)
}

/// Gives an answer to an HTTP/1.0 client a length. That version has no other way
/// to tell a body that ended from one that broke off: what cannot be measured is
/// not sent. A stream of events is the exception, whose every event says by
/// itself whether it is whole.
pub(super) async fn measured(request: Request, next: Next) -> Response<Body> {
    let is_old = request.version() < Version::HTTP_11;
    let response = next.run(request).await;
    if !is_old || has_end(&response) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let gathered = timeout(GATHER_TIMEOUT, async {
        let _turn = GATHERINGS.acquire().await.ok()?;
        gather(body).await
    });
    match gathered.await {
        Ok(Some(body)) => {
            parts.headers.insert(header::CONTENT_LENGTH, body.len().into());
            Response::from_parts(parts, Body::from(body.freeze()))
        }
        _ => {
            let why = "HTTP/1.0 cannot tell this answer's end from a broken connection: ask by HTTP/1.1 \
                       (in nginx: proxy_http_version 1.1)";
            let mut response = ApiError::new(Code::UpgradeRequired, why).into_response();
            response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("HTTP/1.1"));
            response
        }
    }
}

fn has_end(response: &Response<Body>) -> bool {
    response.body().size_hint().exact().is_some()
        || response.headers().contains_key(header::CONTENT_LENGTH)
        || is_stream(response)
}

/// Whether it is a stream of events.
pub(super) fn is_stream(response: &Response<Body>) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// The whole body; `None` where it breaks off, or is too much to gather.
async fn gather(mut body: Body) -> Option<BytesMut> {
    let mut gathered = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            if gathered.len() + data.len() > MAX_GATHERED {
                return None;
            }
            gathered.extend_from_slice(&data);
        }
    }
    Some(gathered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h18_a_host_is_a_host() {
        for right in
            ["a", "clips.example.com", "a:80", "a:", "127.0.0.1:8787", "[::1]", "[::1]:9", "[fe80::1]:", "a_b", "%41"]
        {
            assert!(is_host(right.as_bytes()), "{right}");
        }
        for wrong in [
            "", ":80", "a b", "a/b", "a:b", "a:80:80", "a:999999", "u@a", "a?b", "a#b", "a\"b", "[::1", "::1", "[a]b",
            "[x]", "[]x", "a\\b", "<a>", "a\u{e9}",
        ] {
            assert!(!is_host(wrong.as_bytes()), "{wrong}");
        }
    }
}
