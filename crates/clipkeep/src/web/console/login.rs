//! Logging in, with a token; and out.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
};
use clipkeep_core::token::token_hash;
use maud::html;

use super::{
    Trouble, layout,
    session::{Fields, Posted, cookie, place, read, redirect, refuse_others, secrets, visitor},
};
use crate::web::{AppState, Peer};

/// The form; or, with a code that was made for who sits at this machine, in.
pub(super) async fn show(
    State(app): State<AppState>,
    method: Method,
    query: Fields,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    let to = place(query.get("to"));
    // To look at the link's head is not to use it.
    if method == Method::GET && query.get("once").is_some_and(|code| app.sessions.take_once(code)) {
        let secret = app.sessions.open(app.auth.admin_hash()).await?;
        let mut response = redirect(to);
        response.headers_mut().insert(header::SET_COOKIE, cookie(&app, Some(secret.expose())));
        return Ok(response);
    }
    if visitor(&app, &headers).await?.is_some() {
        return Ok(redirect(to));
    }
    let note = query.get("once").map(|_| "That link was used already, or is an old one.");
    Ok(form(StatusCode::OK, to, note))
}

fn form(status: StatusCode, to: &str, note: Option<&str>) -> Response {
    let body = html! {
        h1 { "Log in" }
        form.card method="post" action="/login" {
            @if let Some(note) = note {
                p.bad role="alert" { (note) }
            }
            input type="hidden" name="to" value=(to);
            label for="token" { "Token" }
            input #token type="password" name="token" autocomplete="current-password" required autofocus
                aria-describedby="hint";
            p #hint .quiet {
                "An admin's or a tenant's. " code { "clipkeep token" } " prints the admin's, "
                code { "clipkeep token create" } " makes others."
            }
            button.main type="submit" { "Log in" }
        }
    };
    layout::bare(status, "Log in", &body)
}

pub(super) async fn log_in(State(app): State<AppState>, request: Request) -> Result<Response, Trouble> {
    let (parts, body) = request.into_parts();
    refuse_others(&parts.headers, &app.config)?;
    let Some(&Peer(from)) = parts.extensions.get::<Peer>() else { return Ok(redirect("/login")) };
    let fields = Fields::of(&read(body, &app).await?);
    let to = place(fields.get("to"));
    let token = fields.get("token").unwrap_or_default();
    // First whether it is right: behind a proxy all visitors have one address, and a
    // stranger's wrong tokens must keep nobody out. Who looks them up is held back
    // by itself, as for any call.
    if app.auth.authenticate(token).await?.is_none() {
        if let Some(left) = app.sessions.must_wait(from) {
            return Ok(too_many(to, left));
        }
        app.sessions.failed(from);
        return Ok(form(StatusCode::FORBIDDEN, to, Some("That token opens nothing here.")));
    }
    // One session at a time from one browser, and never one that somebody else chose.
    for before in secrets(&app, &parts.headers) {
        app.sessions.close(before).await?;
    }
    let secret = app.sessions.open(token_hash(token)).await?;
    let mut response = redirect(to);
    response.headers_mut().insert(header::SET_COOKIE, cookie(&app, Some(secret.expose())));
    Ok(response)
}

fn too_many(to: &str, left: Duration) -> Response {
    let secs = left.as_secs() + 1;
    let note = format!("Too many attempts. Try again in {secs} s.");
    let mut response = form(StatusCode::TOO_MANY_REQUESTS, to, Some(&note));
    response.headers_mut().insert(header::RETRY_AFTER, secs.into());
    response
}

pub(super) async fn log_out(State(app): State<AppState>, headers: HeaderMap, _: Posted) -> Result<Response, Trouble> {
    for secret in secrets(&app, &headers) {
        app.sessions.close(secret).await?;
    }
    let mut response = redirect("/login");
    response.headers_mut().insert(header::SET_COOKIE, cookie(&app, None));
    Ok(response)
}
