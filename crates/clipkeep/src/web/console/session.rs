//! Who looks at a page, by the cookie; and forms that no other site can send.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts, uri::PathAndQuery},
    response::{IntoResponse, Response},
};
use clipkeep_core::{config::Config, problem::Code, usage::Moment};
use url::form_urlencoded;

use super::{Trouble, layout};
use crate::{
    app::App,
    auth::{Caller, same},
    sessions::{SESSION_TTL, Visit},
    web::{AppState, browser::is_same, error::ApiError},
};

const MAX_FORM: usize = 64 * 1024;

/// Whoever is logged in.
pub(super) struct Visitor {
    pub(super) caller: Caller,
    pub(super) csrf: String,
}

impl Visitor {
    /// Only admins get in here.
    pub(super) fn must_be_admin(&self) -> Result<(), ApiError> {
        match self.caller {
            Caller::Admin => Ok(()),
            Caller::Tenant(_) => Err(ApiError::new(Code::Forbidden, "this room is for admins")),
        }
    }
}

/// The cookie's name. With https it is one that only this very host can set, and
/// that never goes over plain http.
fn cookie_name(app: &App) -> &'static str {
    if is_https(app) { "__Host-clipkeep" } else { "clipkeep" }
}

fn is_https(app: &App) -> bool {
    app.config.public_url.as_str().starts_with("https://")
}

/// The cookie that holds this secret, or one that removes it.
pub(super) fn cookie(app: &App, secret: Option<&str>) -> HeaderValue {
    let (name, secure) = (cookie_name(app), if is_https(app) { "; Secure" } else { "" });
    let (value, age) = secret.map_or(("", 0), |secret| (secret, SESSION_TTL.as_secs()));
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}");
    HeaderValue::try_from(text).expect("a secret is letters and digits")
}

/// The most cookies of our name that are looked at. Others on this host may set
/// some, too.
const MAX_COOKIES: usize = 4;

/// The secrets that a request's cookies hold. What others put beside them may be
/// any bytes.
pub(super) fn secrets<'a>(app: &App, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
    let name = cookie_name(app);
    let all = headers.get_all(header::COOKIE).iter().flat_map(|value| value.as_bytes().split(|b| *b == b';'));
    let pairs = all.filter_map(|pair| str::from_utf8(pair).ok()?.trim().split_once('='));
    pairs.filter_map(move |(key, value)| (key == name).then_some(value)).take(MAX_COOKIES)
}

/// The visitor, if somebody is logged in.
pub(super) async fn visitor(app: &App, headers: &HeaderMap) -> Result<Option<Visitor>, ApiError> {
    for secret in secrets(app, headers) {
        if let Some(Visit { caller, csrf }) = app.sessions.find(secret).await? {
            return Ok(Some(Visitor { caller, csrf }));
        }
    }
    Ok(None)
}

impl FromRequestParts<AppState> for Visitor {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Trouble> {
        if let Some(visitor) = visitor(app, &parts.headers).await? {
            return Ok(visitor);
        }
        // A link from elsewhere comes without the cookie (SameSite=Strict); asked
        // for once more from here, the page has it.
        let from_elsewhere = parts.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
        if parts.method == Method::GET && from_elsewhere {
            return Err(Trouble::Elsewhere(Box::new(layout::once_more())));
        }
        let to = match parts.uri.path_and_query() {
            Some(to) if parts.method == Method::GET && !is_piece(to) => to.as_str().to_owned(),
            _ => page_of(parts.uri.path()),
        };
        let to: String = form_urlencoded::byte_serialize(to.as_bytes()).collect();
        Err(Trouble::Elsewhere(Box::new(redirect(&format!("/login?to={to}")))))
    }
}

/// Whether it is asked for by a page's script, and is no page itself.
fn is_piece(to: &PathAndQuery) -> bool {
    to.path().ends_with("/live")
        || to.query().is_some_and(|query| Fields::of(query.as_bytes()).get("partial").is_some())
}

/// The page that a form stands on.
pub(super) fn page_of(path: &str) -> String {
    let mut parts = path.split('/').skip(1);
    match (parts.next(), parts.next(), parts.next()) {
        (Some("console"), Some("clips"), Some(key)) => format!("/console/clips/{key}"),
        (Some("console"), Some(room), Some(_)) => format!("/console/{room}"),
        _ => "/".to_owned(),
    }
}

/// A form that a visitor sent from one of our own pages.
pub(super) struct Posted {
    pub(super) visitor: Visitor,
    pub(super) fields: Fields,
}

/// The fields of a form, or of a page's address; of several with one name, the
/// last.
#[derive(Default)]
pub(super) struct Fields(BTreeMap<String, String>);

impl Fields {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The end of the time that a field names: a day is meant to its end.
    pub(super) fn until(&self, name: &str) -> Option<String> {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let text = self.get(name)?;
        let Some(day) = text.parse::<Moment>().ok().filter(|_| text.len() == "2026-11-28".len()) else {
            return Some(text.to_owned());
        };
        // After the last day that can be written there is none.
        let next = day.0.plus(DAY).to_string();
        Some(if next.parse::<Moment>().is_ok() { next } else { format!("{text}T23:59:59.999Z") })
    }

    /// A field's text, if something stands in it.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }
}

impl<S: Sync> FromRequestParts<S> for Fields {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts.uri.query().unwrap_or_default().as_bytes()))
    }
}

impl FromRequest<AppState> for Posted {
    type Rejection = Trouble;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, Trouble> {
        let (mut parts, body) = request.into_parts();
        refuse_others(&parts.headers, &app.config)?;
        let visitor = Visitor::from_request_parts(&mut parts, app).await?;
        let fields = Fields::of(&read(body, app).await?);
        match fields.get("csrf").is_some_and(|given| same(given, &visitor.csrf)) {
            true => Ok(Self { visitor, fields }),
            false => {
                Err(ApiError::new(Code::Forbidden, "this form is too old: go back, reload the page, and send it again")
                    .into())
            }
        }
    }
}

/// A form's bytes.
pub(super) async fn read(body: axum::body::Body, app: &App) -> Result<Bytes, ApiError> {
    let read = tokio::time::timeout(app.config.body_timeout, axum::body::to_bytes(body, MAX_FORM)).await;
    read.ok()
        .and_then(Result::ok)
        .ok_or_else(|| ApiError::new(Code::InvalidRequest, "the form did not come, or is too long"))
}

/// Refuses what another site's page sends, as browsers tell.
pub(super) fn refuse_others(headers: &HeaderMap, config: &Config) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_ours = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => is_same(origin, text("host").unwrap_or_default(), config),
        (None, None) => true,
    };
    let refused = || ApiError::new(Code::Forbidden, "another site's page sent this: nothing was done");
    is_ours.then_some(()).ok_or_else(refused)
}

/// See other: what a form leads to.
pub(super) fn redirect(to: &str) -> Response {
    let to = HeaderValue::try_from(to).unwrap_or(HeaderValue::from_static("/"));
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response();
    layout::strict(response.headers_mut());
    response
}

/// A place of ours to go to after the log-in: a path, and never another host.
pub(super) fn place(text: Option<&str>) -> &str {
    let is_path = |text: &&str| {
        let mut bytes = text.bytes();
        bytes.next() == Some(b'/')
            && !matches!(bytes.next(), Some(b'/' | b'\\'))
            && text.bytes().all(|b| b.is_ascii_graphic())
    };
    text.filter(is_path).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use clipkeep_core::config::Layers;

    use super::*;

    #[test]
    fn a_day_is_meant_to_its_end() {
        let until = |text: &str| Fields::of(format!("to={text}").as_bytes()).until("to");
        assert_eq!(until("2026-02-28").unwrap(), "2026-03-01T00:00:00.000Z");
        for text in ["9999-12-31", "2026-11-28T12:00:00Z", "0001-01-01"] {
            assert!(until(text).unwrap().parse::<Moment>().is_ok(), "{text}");
        }
        assert_eq!(until("2026-02-30").as_deref(), Some("2026-02-30"));
        assert_eq!(until(""), None);
    }

    #[test]
    fn a_form_leads_back_to_its_page() {
        for (form, page) in [
            ("/console/clips/a.mp4/delete", "/console/clips/a.mp4"),
            ("/console/tokens/1/revoke", "/console/tokens"),
            ("/console/queue/live", "/console/queue"),
            ("/logout", "/"),
        ] {
            assert_eq!(page_of(form), page);
        }
    }

    #[test]
    fn nobody_is_led_to_another_host() {
        for to in ["/", "/console/queue?x=1#y", "/?q=a%20b"] {
            assert_eq!(place(Some(to)), to);
        }
        for to in ["", "//evil.example", "/\\evil.example", "https://evil.example", "evil", "/a\r\nb", "/ a", "\\/a"] {
            assert_eq!(place(Some(to)), "/", "{to}");
        }
        assert_eq!(place(None), "/");
    }

    #[test]
    fn another_sites_page_sends_nothing() {
        let flags = [("public_url", "https://clips.example.com".to_owned())];
        let config = Config::from_layers(Layers::new().with_flags(flags)).unwrap();
        let passes = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            refuse_others(&headers, &config).is_ok()
        };
        assert!(passes(&[("host", "a:1")]) && passes(&[("host", "a:1"), ("origin", "http://a:1")]));
        assert!(passes(&[("sec-fetch-site", "same-origin")]) && passes(&[("sec-fetch-site", "none")]));
        // A proxy may call it by another name, and spell it as it likes.
        assert!(passes(&[("host", "127.0.0.1:9"), ("origin", "https://clips.example.com")]));
        assert!(passes(&[("host", "Clips.Example.com:443"), ("origin", "https://clips.example.com")]));
        for (name, value) in [
            ("origin", "http://b:1"),
            ("origin", "null"),
            ("origin", "http://a:2"),
            ("origin", ""),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(!passes(&[("host", "a:1"), (name, value)]), "{value}");
        }
    }
}
