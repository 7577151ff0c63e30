//! The client against sources made of raw sockets, which may lie as they like.

mod bodies;
mod heads;
mod hops;
mod names;
mod origin;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clipkeep_core::{
    address::SourceRules,
    secret::SourceUrl,
    time::{Clock, Timestamp},
    verdict::{Verdict, Why},
};

use self::origin::{Origin, Step};
use super::{Piece, SourceClient, SourceError, SourceResponse, SourceSettings, resolver::LookUp};

/// Mon, 03 Aug 2026 10:00:00 GMT, for ever.
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_785_751_200)
    }
}

/// Patient, and allowed on this machine under a few names.
fn settings() -> SourceSettings {
    let hosts = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "clip.test", "cdn.test", "meta.test"];
    SourceSettings {
        rules: SourceRules {
            hosts: hosts.map(|host| host.parse().unwrap()).to_vec(),
            allow_private: true,
            allow_http: true,
        },
        connect_timeout: Duration::from_secs(20),
        first_byte_timeout: Duration::from_secs(20),
        stall_timeout: Duration::from_secs(20),
        max_redirects: 5,
    }
}

fn client(settings: SourceSettings) -> SourceClient {
    SourceClient::new(settings, Arc::new(Stopped)).unwrap()
}

/// A client to which names resolve as `answer` says.
fn client_with_names(
    settings: SourceSettings,
    answer: impl Fn(&str) -> Vec<SocketAddr> + Send + Sync + 'static,
) -> SourceClient {
    let look_up: LookUp = Arc::new(move |name| {
        let addresses = answer(&name);
        Box::pin(async move { Ok(addresses) })
    });
    SourceClient::with_look_up(settings, Arc::new(Stopped), look_up).unwrap()
}

fn resume(from: u64, if_range: &str) -> Piece {
    Piece { from, to: None, if_range: Some(if_range.to_owned()) }
}

async fn get(origin: &Origin, resume: Option<&Piece>) -> Result<SourceResponse, SourceError> {
    client(settings()).get(&origin.url("/clip.mp4"), resume).await
}

/// All bytes, up to the end or to the error.
async fn drain(mut response: SourceResponse) -> (Vec<u8>, Result<(), SourceError>) {
    let mut bytes = Vec::new();
    loop {
        match response.body.next().await {
            Ok(Some(chunk)) => {
                bytes.extend_from_slice(&chunk);
                assert!(bytes.len() < 1 << 20, "a body without end");
            }
            Ok(None) => return (bytes, Ok(())),
            Err(error) => return (bytes, Err(error)),
        }
    }
}

/// The reason, after checking that the words tell nothing of the source.
fn why<T>(result: Result<T, SourceError>) -> Option<Why> {
    let error = result.err()?;
    let text = format!("{error} {error:?}");
    for secret in ["127.0.0.1", "169.254", "10.0.0.1", ".test", "http", "clip.mp4"] {
        assert!(!text.replace("Http", "").contains(secret), "{text}");
    }
    Some(error.verdict().why())
}
