//! Where an app wants to be told what happened.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use url::Url;

use crate::config::web_url;

/// How many bytes of its URL's digest tell an endpoint from others of its host.
const DIGEST: usize = 4;

/// One endpoint. Its URL may hold a secret, so it is never printed: in the
/// database, in messages and in the log it goes by its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    name: String,
    url: Url,
}

impl Endpoint {
    /// The host and a short digest of the URL.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL itself, for the request alone.
    pub const fn expose(&self) -> &Url {
        &self.url
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// Reads an http or https URL; the error does not quote it.
    fn from_str(text: &str) -> Result<Self, String> {
        let url = web_url(text)?;
        let digest = ring::digest::digest(&ring::digest::SHA256, url.as_str().as_bytes());
        let name = format!("{}-{}", url.host_str().unwrap_or_default(), HEXLOWER.encode(&digest.as_ref()[..DIGEST]));
        Ok(Self { name, url })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_named_without_its_secret_and_unlike_its_neighbours() {
        let endpoint = |text: &str| text.parse::<Endpoint>().unwrap();
        let one = endpoint("https://hooks.example.com/in/hunter2?token=hunter3");
        assert!(one.name().starts_with("hooks.example.com-") && one.name().len() == 18 + 2 * DIGEST, "{one:?}");
        assert!(!format!("{one:?}").contains("hunter"));
        assert_eq!(one, endpoint("https://hooks.example.com/in/hunter2?token=hunter3"));
        assert_ne!(one.name(), endpoint("https://hooks.example.com/in/other").name());
    }

    #[test]
    fn what_is_no_endpoint_is_refused_without_quoting_it() {
        for bad in ["hunter2", "ftp://hunter2.example", "https://u:hunter2@example.com"] {
            let problem = bad.parse::<Endpoint>().unwrap_err();
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}
