//! One attempt: a signed POST.

use std::{error::Error, time::Duration};

use clipkeep_core::{
    endpoint::Endpoint,
    event::Position,
    standard_webhook::EventSecret,
    time::{Clock, Timestamp},
    verdict::retry_after,
};
use http::{StatusCode, header::CONTENT_TYPE};
use reqwest::{Client, Response, redirect};

use crate::tls;

/// How long connecting to an endpoint may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer's body is read, so that its connection can be used
/// again.
const MAX_ANSWER_READ: usize = 16 * 1024;

/// What an endpoint said.
pub(super) enum Answer {
    Taken,
    /// It did not.
    Refused {
        /// Why, in words without its URL.
        why: String,
        /// How long it asked us to wait.
        after: Option<Duration>,
        /// Whether it never will.
        gone: bool,
    },
}

/// The client for endpoints. Redirects are not followed: what is told goes to
/// whom the operator named.
///
/// # Errors
/// If the system has no trusted roots.
pub fn client() -> Result<Client, reqwest::Error> {
    tls::client_builder()
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("clipkeep/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Tells an endpoint of the event at `position`.
pub(super) async fn send(
    http: &Client,
    endpoint: &Endpoint,
    (secret, clock): (&EventSecret, &dyn Clock),
    timeout: Duration,
    position: Position,
    body: String,
) -> Answer {
    let (id, at) = (position.webhook_id(), clock.now());
    let request = http
        .post(endpoint.expose().clone())
        .timeout(timeout)
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", at.secs())
        .header("webhook-signature", secret.sign(&id, at, body.as_bytes()));
    match request.body(body).send().await {
        Ok(response) => judge(response, clock.now()).await,
        Err(error) => Answer::Refused { why: unanswered(&error), after: None, gone: false },
    }
}

async fn judge(mut response: Response, now: Timestamp) -> Answer {
    let status = response.status();
    let after = retry_after(response.headers(), now);
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > MAX_ANSWER_READ {
            break;
        }
    }
    if status.is_success() {
        return Answer::Taken;
    }
    let hint = if status.is_redirection() { "; redirects are not followed" } else { "" };
    let why = format!("it answered {}{hint}", status.as_u16());
    Answer::Refused { why, after, gone: status == StatusCode::GONE }
}

/// Why there was no answer. The innermost cause names no URL.
fn unanswered(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let what = if error.is_connect() { "it cannot be reached" } else { "the connection broke" };
    match error.source() {
        Some(_) => format!("{what}: {cause}"),
        None => what.to_owned(),
    }
}
