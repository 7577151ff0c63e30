//! Hosts and addresses a request for a source may leave for (invariant 8).
//!
//! Two judges, and a request needs both. [`judge_url`] looks at a URL as it
//! came: from a webhook, from a `Location`. [`judge_ip`] looks at the address
//! that is about to be connected to, because what a name resolves to is the
//! resolver's word and may change between two looks.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use url::{Host, Url};

use crate::config::HostPattern;

/// Why a request may not leave. The text names neither host nor URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The text is no absolute URL with a host.
    #[error("not an absolute URL with a host")]
    NotUrl,
    /// Neither `https`, nor `http` where that is allowed.
    #[error("the scheme is not allowed")]
    Scheme,
    /// A user name or a password stands before the host.
    #[error("credentials in a source URL are not allowed")]
    UserInfo,
    /// The host matches none of the allowed patterns.
    #[error("the host is not among the allowed source hosts")]
    Host,
    /// A port that is not the scheme's own.
    #[error("the port is not allowed")]
    Port,
    /// An address that is not public, or never allowed at all.
    #[error("the address is not public")]
    Address,
}

/// What requests for sources may do on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRules {
    /// The hosts they may go to; none means nowhere.
    pub hosts: Vec<HostPattern>,
    /// Whether loopback and private addresses and any port are allowed: for
    /// tests and private networks.
    pub allow_private: bool,
    /// Whether plain `http` is allowed beside `https`.
    pub allow_http: bool,
}

/// A URL that was judged and may be asked for, as far as its text can tell.
/// Without a fragment, and normalised, so that the one who asks reads it the
/// same way as the one who judged.
#[derive(Clone, PartialEq, Eq)]
pub struct JudgedUrl(Url);

impl JudgedUrl {
    /// The URL itself, for the request alone.
    pub const fn expose(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for JudgedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[source]")
    }
}

/// Judges a URL by its text: scheme, credentials, host, port, and the address
/// where the host is one. The host is judged after normalisation, so decimal,
/// octal, hexadecimal and full-width spellings of an address are that address.
pub fn judge_url(rules: &SourceRules, text: &str) -> Result<JudgedUrl, Forbidden> {
    let mut url = Url::parse(text).map_err(|_| Forbidden::NotUrl)?;
    match url.scheme() {
        "https" => {}
        "http" if rules.allow_http => {}
        _ => return Err(Forbidden::Scheme),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Forbidden::UserInfo);
    }
    let host = url.host_str().ok_or(Forbidden::NotUrl)?;
    // A trailing dot names the same host to DNS but another one to TLS, to
    // certificates and to the patterns.
    if host.ends_with('.') || !rules.hosts.iter().any(|pattern| pattern.matches(host)) {
        return Err(Forbidden::Host);
    }
    if url.port().is_some() && !rules.allow_private {
        return Err(Forbidden::Port);
    }
    match url.host() {
        Some(Host::Ipv4(ip)) => judge_ip(IpAddr::V4(ip), rules.allow_private)?,
        Some(Host::Ipv6(ip)) => judge_ip(IpAddr::V6(ip), rules.allow_private)?,
        Some(Host::Domain(_)) | None => {}
    }
    url.set_fragment(None);
    Ok(JudgedUrl(url))
}

/// The origin (scheme, host and port) of a URL, if no request may go there: if it
/// may one day, the URL is worth another look.
pub fn refused_origin(rules: &SourceRules, text: &str) -> Option<String> {
    let origin = Url::parse(text).ok()?.origin();
    let origin = origin.is_tuple().then(|| origin.ascii_serialization())?;
    judge_url(rules, &origin).is_err().then_some(origin)
}

/// Judges an address that is about to be connected to: public ones are
/// allowed; loopback and private ones where `allow_private` says so; and what
/// can never be a media host (link-local, where clouds keep their metadata,
/// multicast, `0/8`, and the rest of the special-purpose registries) never is.
pub fn judge_ip(ip: IpAddr, allow_private: bool) -> Result<(), Forbidden> {
    let reach = match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    };
    match reach {
        Reach::Public => Ok(()),
        Reach::Private if allow_private => Ok(()),
        Reach::Private | Reach::Never => Err(Forbidden::Address),
    }
}

#[derive(Clone, Copy)]
enum Reach {
    Public,
    Private,
    Never,
}

/// Clouds keep credentials behind these, outside link-local: AWS and Google
/// (IPv6), Alibaba, Azure.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// Loopback, RFC 1918 and the shared address space of RFC 6598.
const PRIVATE_V4: [([u8; 4], u32); 5] =
    [([10, 0, 0, 0], 8), ([100, 64, 0, 0], 10), ([127, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16)];

/// The rest of the IANA IPv4 special-purpose registry, with multicast and the
/// reserved block.
const NEVER_V4: [([u8; 4], u32); 10] = [
    ([0, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// Blocks inside `2000::/3` that are no global unicast: the IETF's own
/// (Teredo, benchmarks, ORCHID), 6to4, and both documentation blocks.
const NEVER_V6: [([u16; 2], u32); 4] = [([0x2001, 0], 23), ([0x2001, 0xdb8], 32), ([0x2002, 0], 16), ([0x3fff, 0], 20)];

fn reach_v4(ip: Ipv4Addr) -> Reach {
    let within = |&(net, prefix): &([u8; 4], u32)| {
        let mask = u32::MAX << (32 - prefix);
        ip.to_bits() & mask == u32::from_be_bytes(net)
    };
    if METADATA_V4.contains(&ip) || NEVER_V4.iter().any(within) {
        return Reach::Never;
    }
    if PRIVATE_V4.iter().any(within) { Reach::Private } else { Reach::Public }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    let s = ip.segments();
    let embedded = || reach_v4(Ipv4Addr::from_bits(u32::from(s[6]) << 16 | u32::from(s[7])));
    // IPv4-mapped, and NAT64's well-known prefix: the packet goes to the IPv4
    // address inside.
    if let [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] = s {
        return embedded();
    }
    if ip == Ipv6Addr::LOCALHOST {
        return Reach::Private;
    }
    // ISATAP: any prefix may carry an IPv4 address in the interface id.
    if METADATA_V6.contains(&ip) || (s[4] & !0x0200 == 0 && s[5] == 0x5efe) {
        return Reach::Never;
    }
    if s[0] & 0xfe00 == 0xfc00 {
        return Reach::Private;
    }
    let head = u32::from(s[0]) << 16 | u32::from(s[1]);
    let within = |&(net, prefix): &([u16; 2], u32)| {
        head & (u32::MAX << (32 - prefix)) == u32::from(net[0]) << 16 | u32::from(net[1])
    };
    if s[0] & 0xe000 != 0x2000 || NEVER_V6.iter().any(within) { Reach::Never } else { Reach::Public }
}

#[cfg(test)]
mod tests;
