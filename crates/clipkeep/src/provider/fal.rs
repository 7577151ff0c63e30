//! fal: its webhooks, and its queue: submit, and ask what came of it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use clipkeep_core::{
    config::Config,
    generation::Generation,
    hook::{
        DecodeError, Decoded, Form, HookQuery,
        fal::{self, HookError, SignedHeaders, Stage, generation_path, result_stage, status_stage},
    },
    id::RequestId,
    secret::SourceUrl,
    time::Timestamp,
};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use super::{HookRefused, KeptPayload, ProviderAdapter, Status, StatusError, WebhookRequest, api::Api};
use crate::{jwks::JwksCache, tls};

/// Its name, as people write it.
const NAME: &str = "fal";
/// How long a signed URL of a file is to live: a fill, with its retries.
const SIGNED_SECS: u64 = 6 * 3600;
/// A status is a few lines, and so is the reply to a submit.
const MAX_STATUS: usize = 1 << 20;

/// fal.
pub struct Fal {
    queue: Api,
    platform: Api,
    jwks: JwksCache,
    tolerance: Duration,
    max_result: usize,
    /// Whose webhooks are believed; everybody's if empty.
    user_ids: Vec<String>,
}

/// A request to be submitted.
#[derive(Debug)]
pub struct Submission {
    pub model: String,
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
        words: String,
        /// How long fal wants to be left alone.
        after: Option<Duration>,
    },
    /// It never reached fal.
    #[error(transparent)]
    NotSent(StatusError),
    /// fal may have taken it: its answer did not come, or was none.
    #[error("fal may have taken it, but did not say so")]
    Unknown,
}

impl Fal {
    pub(super) fn new(config: &Config) -> Result<Self, reqwest::Error> {
        Ok(Self {
            queue: Api::new(NAME, &config.fal_queue_url, "Key", config.fal_key.as_ref())?,
            platform: Api::new(NAME, &config.fal_api_url, "Key", config.fal_key.as_ref())?,
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

    /// A URL for a file of the account's own that its access control keeps from
    /// everybody else; `None` if there is no key, or fal signs none for it. It is
    /// a secret as the file's own URL is. The key goes to the platform API alone.
    /// Dropping the future leaves nothing.
    pub async fn sign(&self, file: &SourceUrl) -> Option<SourceUrl> {
        #[derive(Deserialize)]
        struct Signed {
            signed_url: String,
        }
        // fal signs files by their plain URLs.
        if !self.platform.has_key() || file.expose().contains(['?', '#']) {
            return None;
        }
        let query: String = url::form_urlencoded::byte_serialize(file.expose().as_bytes()).collect();
        let body = format!("{{\"expiration_seconds\": {SIGNED_SECS}}}").into_bytes();
        let target = format!("v1/storage/files/sign?url={query}");
        let said = match self.platform.post(&target, Vec::new(), body, MAX_STATUS).await {
            Ok(said) => said,
            Err((error, _)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "fal did not sign a file's URL");
                return None;
            }
        };
        let signed = serde_json::from_slice::<Signed>(&said.body).ok().filter(|_| (200..300).contains(&said.code));
        if signed.is_none() {
            tracing::debug!(code = said.code, "fal signs no URL for a file");
        }
        signed.map(|signed| SourceUrl::new(signed.signed_url))
    }

    /// The status code and body of the generation's result, once it is over.
    async fn result(&self, path: &str) -> Result<Ended, StatusError> {
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

fn refused(code: u16) -> StatusError {
    StatusError::Refused { provider: NAME, code, key: "fal_key" }
}

fn unsigned(error: HookError) -> HookRefused {
    HookRefused::Unsigned(error.to_string())
}

#[async_trait]
impl ProviderAdapter for Fal {
    fn name(&self) -> &'static str {
        "fal"
    }

    fn verify_headers(&self, request: WebhookRequest<'_>) -> Result<(), HookRefused> {
        SignedHeaders::read(request.headers, request.at, self.tolerance).map(drop).map_err(unsigned)
    }

    async fn verify_and_decode(&self, request: WebhookRequest<'_>, body: &Bytes) -> Result<Decoded, HookRefused> {
        let signed = SignedHeaders::read(request.headers, request.at, self.tolerance).map_err(unsigned)?;
        let request_id = self.verify(&signed, body).await?;
        Ok(fal::decode(body, Some(&request_id), &HookQuery::parse(request.query)?, request.at)?)
    }

    fn reread(&self, kept: &KeptPayload<'_>, at: Timestamp) -> Result<Decoded, DecodeError> {
        let KeptPayload { request_id, form, payload, .. } = *kept;
        match form {
            Form::Webhook => fal::decode(payload, Some(request_id.as_str()), &HookQuery::default(), at),
            Form::Result => fal::fetched(request_id, 200, payload, at),
        }
    }

    async fn fetch_status(&self, generation: &Generation, at: Timestamp) -> Result<Status, StatusError> {
        let Generation { request_id, facts, .. } = generation;
        let model = facts.model.as_deref().unwrap_or_default();
        let path = generation_path(model, request_id).ok_or(StatusError::NoPlace)?;
        let decoded = match self.result(&path).await? {
            Ended::Not => return Ok(Status::Running),
            Ended::Unknown => return Ok(Status::Unknown),
            Ended::With(code, body) => fal::fetched(request_id, code, &body, at)?,
        };
        Ok(Status::Ended(Box::new(decoded)))
    }
}
