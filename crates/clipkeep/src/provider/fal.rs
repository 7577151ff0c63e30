//! fal: its webhooks, and its queue: submit, and ask what came of it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use clipkeep_core::{
    config::Config,
    generation::Generation,
    hook::{
        Decoded, HookQuery,
        fal::{self, HookError, SignedHeaders, Stage, generation_path, result_stage, status_stage},
    },
    id::RequestId,
    time::Timestamp,
};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use super::{Answer, AskError, Dialect, Envelope, HookRefused, api::Api};
use crate::{jwks::JwksCache, tls};

/// Its name, as people write it.
const NAME: &str = "fal";
/// A status is a few lines, and so is the reply to a submit.
const MAX_STATUS: usize = 1 << 20;

/// fal.
pub struct Fal {
    queue: Api,
    jwks: JwksCache,
    tolerance: Duration,
    max_result: usize,
    /// Whose webhooks are believed; everybody's if empty.
    user_ids: Vec<String>,
}

/// A request to be submitted.
#[derive(Debug)]
pub struct Submission {
    /// The model's endpoint id.
    pub model: String,
    /// Its input, as JSON.
    pub input: Vec<u8>,
    /// What is called when it is over.
    pub webhook: String,
    /// `normal` or `low`.
    pub priority: Option<&'static str>,
    /// How many seconds it may wait before it starts.
    pub start_timeout: Option<u32>,
}

/// A request that fal took.
#[derive(Debug)]
pub struct Submitted {
    /// Its id.
    pub request_id: RequestId,
}

/// Why a submit came to nothing. No text here holds an address or a key.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The model's name leads to no app.
    #[error("the model's name leads to no app: it must look like owner/app")]
    NoApp,
    /// Nobody said with which key.
    #[error("`fal_key` is not set, so nothing can be submitted")]
    NoKey,
    /// fal did not take it.
    #[error("fal did not take it (HTTP {code}): {words}")]
    Refused {
        /// fal's status code.
        code: u16,
        /// fal's words.
        words: String,
        /// How long fal wants to be left alone.
        after: Option<Duration>,
    },
    /// It never reached fal.
    #[error(transparent)]
    NotSent(AskError),
    /// fal may have taken it: its answer did not come, or was none.
    #[error("fal may have taken it, but did not say so")]
    Unknown,
}

impl Fal {
    pub(super) fn new(config: &Config) -> Result<Self, reqwest::Error> {
        Ok(Self {
            queue: Api::new(NAME, &config.fal_queue_url, "Key", config.fal_key.as_ref())?,
            jwks: JwksCache::new(config.fal_jwks_url.to_string(), tls::client_builder().build()?),
            tolerance: config.hook_tolerance,
            max_result: usize::try_from(config.hook_max_body).unwrap_or(usize::MAX),
            user_ids: config.fal_user_ids.clone(),
        })
    }

    /// Submits a request. Dropping the future leaves it open whether fal took it.
    ///
    /// # Errors
    /// If it did not, or did not say.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, SubmitError> {
        let target = fal::submit_target(&submission.model, &submission.webhook).ok_or(SubmitError::NoApp)?;
        if !self.queue.has_key() {
            return Err(SubmitError::NoKey);
        }
        let headers = headers(&submission);
        let said = match self.queue.post(&target, headers, submission.input, MAX_STATUS).await {
            Ok(said) => said,
            Err((_, true)) => return Err(SubmitError::Unknown),
            Err((error, false)) => return Err(SubmitError::NotSent(error)),
        };
        match said.code {
            200..=299 => {
                let reply: Reply = serde_json::from_slice(&said.body).map_err(|_| SubmitError::Unknown)?;
                Ok(Submitted { request_id: reply.request_id })
            }
            // What stands before fal cannot say whether fal has it.
            code @ 500..=599 if fal::refusal(&said.body).is_none() => {
                tracing::warn!(code, "a submit's answer is none of fal's");
                Err(SubmitError::Unknown)
            }
            code => {
                let words = fal::refusal(&said.body).unwrap_or_else(|| "it did not say why".to_owned());
                Err(SubmitError::Refused { code, words, after: said.after })
            }
        }
    }

    /// The status code and body of the generation's result, once it is over.
    async fn result(&self, path: &str) -> Result<Ended, AskError> {
        let status = self.queue.get(&format!("{path}/status"), MAX_STATUS).await?;
        match status_stage(status.code, &status.body) {
            Stage::Running => return Ok(Ended::Not),
            Stage::Unknown => return Ok(Ended::Unknown),
            Stage::Ended => {}
            Stage::Refused => return Err(refused(status.code)),
            Stage::Away => return Err(status.away()),
        }
        let result = self.queue.get(path, self.max_result).await?;
        match result_stage(result.code, &result.body) {
            Stage::Running => Ok(Ended::Not),
            Stage::Unknown => Ok(Ended::Unknown),
            Stage::Ended => Ok(Ended::With(result.code, result.body)),
            Stage::Refused => Err(refused(result.code)),
            Stage::Away => Err(result.away()),
        }
    }

    /// Checks the signature against the cached keys, then once against fresh
    /// ones. Answers the request id that was signed.
    async fn verify(&self, signed: &SignedHeaders<'_>, body: &[u8]) -> Result<String, HookRefused> {
        let keys = self.jwks.keys().await?;
        let verified = match signed.verify(body, &keys) {
            Ok(verified) => {
                self.jwks.prefer(verified.key_index);
                verified
            }
            Err(HookError::NoKeyFits) => {
                let newer = self.jwks.newer_keys().await?;
                signed.verify(body, &newer).map_err(unsigned)?
            }
            Err(error) => return Err(unsigned(error)),
        };
        let is_ours = |id: &String| id.as_bytes() == verified.user_id;
        if !self.user_ids.is_empty() && !self.user_ids.iter().any(is_ours) {
            return Err(HookRefused::Unsigned("fal signed it for another account (see fal_user_ids)".to_owned()));
        }
        Ok(verified.request_id)
    }
}

/// How a generation ended.
enum Ended {
    Not,
    Unknown,
    With(u16, Bytes),
}

#[derive(Deserialize)]
struct Reply {
    request_id: RequestId,
}

fn headers(submission: &Submission) -> Vec<(HeaderName, HeaderValue)> {
    let priority = submission.priority.map(HeaderValue::from_static);
    let timeout = submission.start_timeout.map(HeaderValue::from);
    [("x-fal-queue-priority", priority), ("x-fal-request-timeout", timeout)]
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), value?)))
        .collect()
}

fn refused(code: u16) -> AskError {
    AskError::Refused { provider: NAME, code, key: "fal_key" }
}

fn unsigned(error: HookError) -> HookRefused {
    HookRefused::Unsigned(error.to_string())
}

#[async_trait]
impl Dialect for Fal {
    fn name(&self) -> &'static str {
        "fal"
    }

    fn screen(&self, envelope: Envelope<'_>) -> Result<(), HookRefused> {
        SignedHeaders::read(envelope.headers, envelope.at, self.tolerance).map(drop).map_err(unsigned)
    }

    async fn receive(&self, envelope: Envelope<'_>, body: &[u8]) -> Result<Decoded, HookRefused> {
        let signed = SignedHeaders::read(envelope.headers, envelope.at, self.tolerance).map_err(unsigned)?;
        let request_id = self.verify(&signed, body).await?;
        Ok(fal::decode(body, Some(&request_id), &HookQuery::parse(envelope.query)?, envelope.at)?)
    }

    async fn ask(&self, generation: &Generation, at: Timestamp) -> Result<Answer, AskError> {
        let Generation { request_id, facts, .. } = generation;
        let model = facts.model.as_deref().unwrap_or_default();
        let path = generation_path(model, request_id).ok_or(AskError::NoPlace)?;
        let decoded = match self.result(&path).await? {
            Ended::Not => return Ok(Answer::Running),
            Ended::Unknown => return Ok(Answer::Unknown),
            Ended::With(code, body) => fal::fetched(request_id, code, &body, at)?,
        };
        Ok(Answer::Ended(Box::new(decoded)))
    }
}
