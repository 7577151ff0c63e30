//! Which hosts a source may be on, as it is written in the configuration.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use url::Host;

/// A host, or with `*.` in front any of its subdomains (not itself). Always in
/// the form that the URL parser gives hosts: lower case, IDN as punycode, IPv6
/// in brackets; without a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern(String);

/// Why a host pattern was refused. The text is fit for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostPatternError {
    /// It is a URL, or has a port.
    #[error("must be a host alone: no scheme, port or path")]
    NotAlone,
    /// A star stands elsewhere than in front of a domain.
    #[error("may hold a star only in front, as in *.example.com")]
    Star,
    /// No host has that name.
    #[error("is no valid host")]
    Invalid,
}

impl HostPattern {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `host` is meant. `host` must come from the URL parser.
    pub fn matches(&self, host: &str) -> bool {
        match self.0.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            None => host == self.0,
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let text = text.trim();
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Self(format!("[{address}]")));
        }
        let (star, rest) = text.strip_prefix("*.").map_or(("", text), |rest| ("*.", rest));
        if rest.contains('*') {
            return Err(HostPatternError::Star);
        }
        let has_port = rest.contains(':') && !(rest.starts_with('[') && rest.ends_with(']'));
        if has_port || rest.contains(['/', '@', '?', '#', '\\']) {
            return Err(HostPatternError::NotAlone);
        }
        match Host::parse(rest).map_err(|_| HostPatternError::Invalid)? {
            // `*.com` would mean anybody.
            Host::Domain(name) if !star.is_empty() && !name.contains('.') => Err(HostPatternError::Star),
            Host::Ipv4(_) | Host::Ipv6(_) if !star.is_empty() => Err(HostPatternError::Star),
            Host::Domain(name) if name.starts_with('.') || name.ends_with('.') || name.contains("..") => {
                Err(HostPatternError::Invalid)
            }
            host => Ok(Self(format!("{star}{host}"))),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_take_the_url_parsers_form() {
        for (text, expected) in [
            ("*.fal.media", "*.fal.media"),
            ("V3.Fal.Media", "v3.fal.media"),
            ("127.0.0.1", "127.0.0.1"),
            ("localhost", "localhost"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("::1", "[::1]"),
            ("[::1]", "[::1]"),
            ("0x7f.1", "127.0.0.1"),
        ] {
            assert_eq!(text.parse::<HostPattern>().unwrap().as_str(), expected);
        }
    }

    #[test]
    fn what_is_more_or_less_than_a_host_is_refused() {
        for bad in [
            "",
            "*",
            "*.",
            "*.com",
            "v*.fal.media",
            "*.*.media",
            "*fal.media",
            "*.127.0.0.1",
            "fal.media:443",
            "https://fal.media",
            "fal.media/x",
            "user@fal.media",
            "[::1]:80",
            "fal.media.",
            ".fal.media",
            "a b",
            "a..b",
        ] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_star_means_subdomains_and_nothing_else() {
        let pattern: HostPattern = "*.fal.media".parse().unwrap();
        assert!(pattern.matches("v3.fal.media") && pattern.matches("a.b.fal.media"));
        for other in ["fal.media", ".fal.media", "evilfal.media", "fal.media.evil.com", "v3.fal.media.evil.com"] {
            assert!(!pattern.matches(other), "{other}");
        }
        let exact: HostPattern = "fal.media".parse().unwrap();
        assert!(exact.matches("fal.media") && !exact.matches("v3.fal.media"));
    }
}
