//! A network of addresses, as it is written in the configuration.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// Why a network was refused. The text is fit for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No address, or no number of bits.
    #[error("must look like 10.0.0.0/8, fd00::/8 or 10.1.2.3")]
    Shape,
    /// More is set than the bits that count.
    #[error("has more than its network's bits set")]
    Host,
}

impl Network {
    /// Whether `address` is within it. An IPv4 address that is written as an
    /// IPv6 one is what it is.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether every address of its kind is within it.
    pub fn is_all(&self) -> bool {
        self.0.prefix_len() == 0
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let network: IpNet = network.map_err(|_| NetworkError::Shape)?;
        if network.trunc() == network { Ok(Self(network)) } else { Err(NetworkError::Host) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().holds(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_what_begins_like_it() {
        for (network, address) in [
            ("10.1.0.0/16", "10.1.255.3"),
            ("10.1.0.0/16", "::ffff:10.1.2.3"),
            ("10.1.2.3", "10.1.2.3"),
            ("0.0.0.0/0", "203.0.113.9"),
            ("fd00:1::/64", "fd00:1::ffff:1"),
            ("::1", "::1"),
            ("::/0", "2001:db8::1"),
        ] {
            assert!(holds(network, address), "{network} {address}");
        }
        for (network, address) in [
            ("10.1.0.0/16", "10.2.0.0"),
            ("10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "::1"),
            ("::/0", "10.0.0.1"),
            ("fd00:1::/64", "fd00:1:0:1::1"),
        ] {
            assert!(!holds(network, address), "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "localhost", "10.0.0.0/+8", "10.0.0.0/", "/8"] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError::Shape), "{bad}");
        }
        assert_eq!("10.0.0.1/8".parse::<Network>(), Err(NetworkError::Host));
        assert_eq!("10.0.0.0/8".parse::<Network>().unwrap().to_string(), "10.0.0.0/8");
    }
}
