//! fal's queue: how far is a generation, and what came of it?

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use clipkeep_core::{
    config::BaseUrl,
    hook::fal::{Stage, generation_path, result_stage, status_stage},
    id::RequestId,
    secret::Secret,
};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, AUTHORIZATION, RETRY_AFTER},
};
use reqwest::{Client, redirect};

use crate::tls;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one answer may take in all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A status is a few lines.
const MAX_STATUS: usize = 1 << 20;

/// What the queue says of a generation.
#[derive(Debug)]
pub enum Answer {
    /// It waits, or runs.
    Running,
    /// It is over; this is the answer that its result gave.
    Ended {
        /// The status code: the model's own, where it failed.
        code: u16,
        /// The body.
        body: Bytes,
    },
    /// The queue does not know it, or not any more.
    Unknown,
}

/// Why the queue did not say. No text here holds an address or a key.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The model's name does not lead to an app.
    #[error("the model's name does not say where to ask")]
    NoApp,
    /// The key is wrong, missing, or may not ask. Others would be refused too.
    #[error("fal refuses to tell (HTTP {code}); hint: is `fal_key` right, and of the account that generates?")]
    Refused {
        /// The status code.
        code: u16,
    },
    /// An answer that nothing follows from.
    #[error("fal's queue answers {code}")]
    Away {
        /// The status code.
        code: u16,
        /// How long it wants to be left alone.
        after: Option<Duration>,
    },
    /// No answer.
    #[error("fal's queue {0}")]
    Unanswered(&'static str),
    /// Longer than a result may be.
    #[error("fal's answer is larger than {max} bytes (hook_max_body)")]
    TooLarge {
        /// How much is read.
        max: usize,
    },
}

/// fal's queue. Cheap to clone.
#[derive(Clone)]
pub struct FalQueue {
    client: Client,
    base: BaseUrl,
    key: Option<HeaderValue>,
    max_result: usize,
}

impl FalQueue {
    /// The queue at `base`, asked with this key.
    ///
    /// # Errors
    /// If there can be no HTTP client.
    pub fn new(base: BaseUrl, key: Option<&Secret<String>>, max_result: usize) -> Result<Self, reqwest::Error> {
        let is_plain = base.to_url().scheme() == "http";
        let client = tls::client_builder()
            .https_only(!is_plain)
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .user_agent(concat!("clipkeep/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, base, key: key.and_then(key_header), max_result })
    }

    /// Asks how far a generation of `model` is and, if it is over, what came of
    /// it. Dropping the future leaves nothing.
    ///
    /// # Errors
    /// If the queue does not say.
    pub async fn ask(&self, model: &str, request_id: &RequestId) -> Result<Answer, AskError> {
        let path = generation_path(model, request_id).ok_or(AskError::NoApp)?;
        let status = self.get(&format!("{path}/status"), MAX_STATUS).await?;
        match status_stage(status.code, &status.body) {
            Stage::Running => return Ok(Answer::Running),
            Stage::Unknown => return Ok(Answer::Unknown),
            Stage::Ended => {}
            Stage::Refused => return Err(AskError::Refused { code: status.code }),
            Stage::Away => return Err(status.away()),
        }
        let result = self.get(&path, self.max_result).await?;
        match result_stage(result.code, &result.body) {
            Stage::Running => Ok(Answer::Running),
            Stage::Unknown => Ok(Answer::Unknown),
            Stage::Ended => Ok(Answer::Ended { code: result.code, body: result.body }),
            Stage::Refused => Err(AskError::Refused { code: result.code }),
            Stage::Away => Err(result.away()),
        }
    }

    async fn get(&self, path: &str, max: usize) -> Result<Said, AskError> {
        let mut request = self.client.get(format!("{}/{path}", self.base)).header(ACCEPT, "application/json");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, key.clone());
        }
        let mut response = request.send().await.map_err(unanswered)?;
        let (code, after) = (response.status().as_u16(), retry_after(response.headers()));
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
            if body.len() + chunk.len() > max {
                return Err(AskError::TooLarge { max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Said { code, body: body.freeze(), after })
    }
}

/// What the key is sent as. A key that is no header value was refused with the
/// configuration.
pub(super) fn key_header(key: &Secret<String>) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(format!("Key {}", key.expose())).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// One answer.
struct Said {
    code: u16,
    body: Bytes,
    after: Option<Duration>,
}

impl Said {
    fn away(&self) -> AskError {
        AskError::Away { code: self.code, after: self.after }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let secs = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(secs))
}

/// In our own words: the client's hold the address.
fn unanswered(error: reqwest::Error) -> AskError {
    AskError::Unanswered(match error {
        error if error.is_timeout() => "does not answer in time",
        error if error.is_connect() => "cannot be connected to",
        _ => "broke off before its answer was whole",
    })
}
