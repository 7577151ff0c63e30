//! Which hosts and addresses a request for a source may leave for.
//!
//! A webhook's payload names a URL, and whoever can make a provider echo a URL
//! can name any. So: hosts from an allow-list, https, public addresses only;
//! judged again for each redirect and for each address that is connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::config::HostPattern;

/// What may be fetched.
#[derive(Clone, Debug)]
pub struct SourceRules {
    /// The hosts that may be asked.
    pub hosts: Vec<HostPattern>,
    /// Whether loopback and private networks, and any port, are allowed.
    pub allow_private: bool,
    /// Whether plain http is allowed.
    pub allow_http: bool,
}

/// Why a URL or address was refused. Says what, never which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// It does not parse, or has no host.
    #[error("the source's address is no URL")]
    NotUrl,
    /// Neither https nor (where allowed) http.
    #[error("the source's scheme is not allowed")]
    Scheme,
    /// `user@host`.
    #[error("the source's address holds a user name")]
    UserInfo,
    /// Not in `source_hosts`.
    #[error("the source's host is not one of source_hosts")]
    Host,
    /// Not the scheme's own port.
    #[error("the source's port is not allowed")]
    Port,
    /// Loopback, private, link-local, reserved, …
    #[error("the source's address is not public")]
    Address,
}

/// Judges a URL before anything is resolved. The host is judged in the form the
/// URL standard gives it: `0x7f.1` is `127.0.0.1` by then.
///
/// # Errors
/// If no request may leave for it.
pub fn judge_url(rules: &SourceRules, text: &str) -> Result<Url, Forbidden> {
    let url = Url::parse(text).map_err(|_| Forbidden::NotUrl)?;
    match url.scheme() {
        "https" => {}
        "http" if rules.allow_http => {}
        _ => return Err(Forbidden::Scheme),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Forbidden::UserInfo);
    }
    let host = url.host().ok_or(Forbidden::NotUrl)?;
    let name = url.host_str().ok_or(Forbidden::NotUrl)?;
    if !rules.hosts.iter().any(|pattern| pattern.matches(name)) {
        return Err(Forbidden::Host);
    }
    // `port()` is none for the scheme's own.
    if url.port().is_some() && !rules.allow_private {
        return Err(Forbidden::Port);
    }
    match host {
        Host::Ipv4(ip) => judge_ip(IpAddr::V4(ip), rules.allow_private)?,
        Host::Ipv6(ip) => judge_ip(IpAddr::V6(ip), rules.allow_private)?,
        Host::Domain(_) => {}
    }
    Ok(url)
}

/// Judges an address that is about to be connected to.
///
/// # Errors
/// If it is not public; with `allow_private`, if it is neither public nor of a
/// loopback or private network. Link-local addresses, where clouds keep their
/// metadata, are refused always.
pub fn judge_ip(ip: IpAddr, allow_private: bool) -> Result<(), Forbidden> {
    let class = match ip {
        IpAddr::V4(ip) => classify_v4(ip),
        IpAddr::V6(ip) => classify_v6(ip),
    };
    match class {
        Class::Public => Ok(()),
        Class::Private if allow_private => Ok(()),
        Class::Private | Class::Never => Err(Forbidden::Address),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Public,
    Private,
    Never,
}

/// By the IANA IPv4 special-purpose address registry (RFC 6890 and after).
fn classify_v4(ip: Ipv4Addr) -> Class {
    match ip.octets() {
        [127 | 10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => Class::Private,
        [0 | 224..=255, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18..=19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Class::Never,
        _ => Class::Public,
    }
}

/// By the IANA IPv6 special-purpose address registry. Addresses that carry an
/// IPv4 address are judged by that one, or refused where a relay decides.
fn classify_v6(ip: Ipv6Addr) -> Class {
    let s = ip.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        classify_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::Private,
        // IPv4-mapped; NAT64.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // Unique local.
        [0xfc00..=0xfdff, ..] => Class::Private,
        // ISATAP, whatever the prefix.
        [_, _, _, _, 0 | 0x0200, 0x5efe, _, _] => Class::Never,
        // Protocol assignments with Teredo; documentation; 6to4; segment routing.
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x2002, ..] | [0x3fff, 0..=0x0fff, ..] => Class::Never,
        // The global unicast space in use.
        [0x2000..=0x3fff, ..] => Class::Public,
        _ => Class::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(hosts: &[&str]) -> SourceRules {
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        SourceRules { hosts, allow_private: false, allow_http: false }
    }

    #[test]
    fn case_26_only_allowed_hosts_in_their_plain_form() {
        let rules = rules(&["fal.media", "*.fal.media", "127.0.0.1", "10.0.0.1", "[::1]"]);
        for (url, expected) in [
            ("https://v3b.fal.media/files/b/1/x.mp4", Ok(())),
            ("https://V3B.FAL.MEDIA/x.mp4", Ok(())),
            ("https://v3b.fal.media:443/x.mp4", Ok(())),
            ("http://v3b.fal.media/x.mp4", Err(Forbidden::Scheme)),
            ("file:///etc/passwd", Err(Forbidden::Scheme)),
            ("ftp://v3b.fal.media/x", Err(Forbidden::Scheme)),
            ("https://user@v3b.fal.media/x", Err(Forbidden::UserInfo)),
            ("https://fal.media@evil.example/x", Err(Forbidden::UserInfo)),
            ("https://evil.example/x", Err(Forbidden::Host)),
            ("https://fal.media.evil.example/x", Err(Forbidden::Host)),
            ("https://evilfal.media/x", Err(Forbidden::Host)),
            ("https://v3b.fal.media./x", Err(Forbidden::Host)),
            ("https://v3b.fal.media:22/x", Err(Forbidden::Port)),
            ("https://127.0.0.1/x", Err(Forbidden::Address)),
            ("https://2130706433/x", Err(Forbidden::Address)),
            ("https://0x7f.1/x", Err(Forbidden::Address)),
            ("https://0177.0.0.1/x", Err(Forbidden::Address)),
            ("https://10.1/x", Err(Forbidden::Address)),
            ("https://[::1]/x", Err(Forbidden::Address)),
            ("https://fal。media/x", Ok(())),
            ("https://fаl.media/x", Err(Forbidden::Host)),
            ("//v3b.fal.media/x", Err(Forbidden::NotUrl)),
            ("", Err(Forbidden::NotUrl)),
        ] {
            assert_eq!(judge_url(&rules, url).map(|_| ()), expected, "{url}");
        }
    }

    #[test]
    fn case_26_only_public_addresses() {
        for ip in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2600::5efe:a00:1",
            "2600::200:5efe:a00:1",
            "::10.0.0.1",
            "5f00::1",
        ] {
            assert_eq!(judge_ip(ip.parse().unwrap(), false), Err(Forbidden::Address), "{ip}");
        }
        for ip in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"] {
            assert_eq!(judge_ip(ip.parse().unwrap(), false), Ok(()), "{ip}");
        }
    }

    #[test]
    fn private_networks_can_be_allowed_but_cloud_metadata_never() {
        for ip in ["127.0.0.1", "10.0.0.1", "::1", "fd00::1", "::ffff:192.168.0.1", "8.8.8.8"] {
            assert_eq!(judge_ip(ip.parse().unwrap(), true), Ok(()), "{ip}");
        }
        for ip in ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1", "2002:a00:1::1"] {
            assert_eq!(judge_ip(ip.parse().unwrap(), true), Err(Forbidden::Address), "{ip}");
        }
    }
}
