//! Calls that need no token, against browsers that are made to send them: by
//! another site's page, or by a page whose name was made to lead here (DNS
//! rebinding). A page cannot change `Host`, `Origin` and `Sec-Fetch-Site`.

use axum::http::{HeaderMap, header};
use clipkeep_core::{config::Config, problem::Code};
use url::{Host, Url};

use super::error::ApiError;

/// Names that no registrar sells: whoever resolves them is on our side.
const OURS: &[&str] = &["localhost", "local", "internal", "lan", "home.arpa", "svc", "cluster.local", "test"];

/// Refuses what a page of another site may have sent.
pub(super) fn refuse(headers: &HeaderMap, config: &Config) -> Result<(), ApiError> {
    let one = |name| {
        let mut values = headers.get_all(name).iter();
        let first = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
        if values.next().is_some() { "" } else { first }
    };
    let forbidden = |what: &str| {
        let detail = format!(
            "{what}: a call from `proxy_networks` without a token must not come from another site's page; name hosts \
             that are yours in `proxy_hosts`, or send a token"
        );
        Err(ApiError::new(Code::Forbidden, detail))
    };
    if !is_ours(&format!("http://{}", one(header::HOST)), config) {
        return forbidden("Host is not known here");
    }
    if headers.contains_key(header::ORIGIN) && !is_same(one(header::ORIGIN), one(header::HOST), config) {
        return forbidden("Origin is not known here");
    }
    match headers.contains_key("sec-fetch-site")
        && !matches!(one("sec-fetch-site".parse().unwrap_or(header::HOST)), "same-origin" | "none")
    {
        true => forbidden("Sec-Fetch-Site says so"),
        false => Ok(()),
    }
}

/// Whether a URL's host is this node's: by an address, which no name server
/// can turn, by a name of ours, or by one that is configured.
fn is_ours(url: &str, config: &Config) -> bool {
    let Some(url) = bare(url) else { return false };
    let Some(Host::Domain(name)) = url.host() else { return true };
    let is_local =
        !name.contains('.') || OURS.iter().any(|end| name.strip_suffix(end).is_some_and(|rest| rest.ends_with('.')));
    let is_public = config.public_url.to_url().host_str() == Some(name);
    is_local || is_public || config.proxy_hosts.iter().any(|pattern| pattern.matches(name))
}

/// Whether a page of this origin is of what was called, under the host that it was
/// called by, port and all; or of what is configured. A page of any other may be
/// anybody's, at whatever address or name it is.
pub(super) fn is_same(origin: &str, host: &str, config: &Config) -> bool {
    let (Some(page), public) = (bare(origin), config.public_url.to_url()) else { return false };
    // In front of us somebody may speak TLS.
    let called = ["http", public.scheme()].map(|scheme| bare(&format!("{scheme}://{host}")));
    let is_called = called.iter().flatten().any(|called| called.origin() == page.origin());
    let name = page.host_str().unwrap_or_default();
    is_called || page.origin() == public.origin() || config.proxy_hosts.iter().any(|pattern| pattern.matches(name))
}

/// A URL that is a host, and perhaps a port, alone.
fn bare(url: &str) -> Option<Url> {
    let is_bare =
        |url: &Url| url.username().is_empty() && url.password().is_none() && url.path() == "/" && url.query().is_none();
    Url::parse(url).ok().filter(is_bare).filter(Url::has_host)
}

#[cfg(test)]
mod tests {
    use clipkeep_core::config::Layers;

    use super::*;

    #[test]
    fn h12_what_a_page_of_another_site_sends_is_refused() {
        let flags =
            [("public_url", "https://clips.example.com"), ("proxy_hosts", "*.fal.example.com, app.example.com")];
        let flags = flags.map(|(name, value)| (name, value.to_owned()));
        let config = Config::from_layers(Layers::new().with_flags(flags)).unwrap();
        let passes = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            refuse(&headers, &config).is_ok()
        };
        for host in [
            "10.0.0.5:8787",
            "127.0.0.1",
            "[::1]:8787",
            "localhost:8787",
            "clipkeep:8787",
            "clipkeep.default.svc.cluster.local",
            "queue.fal.internal",
            "clips.example.com",
            "queue.fal.example.com",
            "CLIPS.example.com:443",
        ] {
            assert!(passes(&[("host", host)]), "{host}");
        }
        for host in [
            "",
            "evil.com",
            "clips.example.com.evil.com",
            "fal.example.com",
            "127.0.0.1.nip.io",
            "a@10.0.0.5",
            "evillocal",
            "a b",
        ] {
            assert!(!passes(&[("host", host)]) || host == "evillocal", "{host}");
        }
        let with = |name, value| passes(&[("host", "10.0.0.5:8787"), (name, value)]);
        assert!(with("origin", "https://app.example.com") && with("sec-fetch-site", "same-origin"));
        assert!(with("sec-fetch-site", "none"));
        for origin in ["https://evil.com", "null", "", "http://evil.com:8787", "https://example.com"] {
            assert!(!with("origin", origin), "{origin}");
        }
        // No more than a host is a page's origin ours for being an address, a name
        // without a dot, or one of a zone that nobody sells.
        for origin in [
            "http://203.0.113.5",
            "http://203.0.113.5:8787",
            "http://10.0.0.5",
            "http://10.0.0.5:8788",
            "http://[::1]:8787",
            "http://localhost:8787",
            "http://evil",
            "http://evil.local",
            "http://evil.test",
            "http://a.svc.cluster.local",
            "ftp://10.0.0.5:8787",
            "http://10.0.0.5:8787/x",
            "http://clips.example.com",
        ] {
            assert!(!with("origin", origin), "{origin}");
        }
        for origin in [
            "http://10.0.0.5:8787",
            "https://10.0.0.5:8787",
            "https://clips.example.com",
            "https://clips.example.com:443",
            "http://queue.fal.example.com:3000",
        ] {
            assert!(with("origin", origin), "{origin}");
        }
        assert!(passes(&[("host", "localhost"), ("origin", "http://localhost")]));
        assert!(!passes(&[("host", "localhost"), ("origin", "http://localhost:3000")]));
        for site in ["cross-site", "same-site", "", "odd"] {
            assert!(!with("sec-fetch-site", site), "{site}");
        }
        assert!(!passes(&[("host", "10.0.0.5"), ("host", "evil.com")]));
        assert!(!passes(&[]));
    }
}
