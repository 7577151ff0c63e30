//! Replicate: its webhooks, and its API of predictions.

use async_trait::async_trait;
use bytes::Bytes;
use clipkeep_core::{
    config::Config,
    generation::Generation,
    hook::{
        DecodeError, Decoded, HookQuery, replicate,
        standard::{SignatureError, SignedHeaders, WebhookKey},
    },
    state::GenerationStatus,
    time::Timestamp,
};

use super::{HookRefused, KeptPayload, ProviderAdapter, Status, StatusError, WebhookRequest, api::Api};

/// Its name, as people write it.
const NAME: &str = "Replicate";

/// Replicate.
pub(super) struct Replicate {
    api: Api,
    keys: Vec<WebhookKey>,
    tolerance: std::time::Duration,
    max_result: usize,
}

impl Replicate {
    pub(super) fn new(config: &Config) -> Result<Self, reqwest::Error> {
        Ok(Self {
            api: Api::new(NAME, &config.replicate_api_url, "Bearer", config.replicate_token.as_ref())?,
            keys: config.replicate_webhook_secret.clone(),
            tolerance: config.hook_tolerance,
            max_result: usize::try_from(config.hook_max_body).unwrap_or(usize::MAX),
        })
    }

    fn signed<'e>(&self, request: WebhookRequest<'e>) -> Result<SignedHeaders<'e>, HookRefused> {
        if self.keys.is_empty() {
            return Err(HookRefused::NotConfigured("replicate_webhook_secret"));
        }
        SignedHeaders::read(request.headers, request.at, self.tolerance).map_err(unsigned)
    }
}

fn unsigned(error: SignatureError) -> HookRefused {
    HookRefused::Unsigned(error.to_string())
}

#[async_trait]
impl ProviderAdapter for Replicate {
    fn name(&self) -> &'static str {
        "replicate"
    }

    fn verify_headers(&self, request: WebhookRequest<'_>) -> Result<(), HookRefused> {
        self.signed(request).map(drop)
    }

    async fn verify_and_decode(&self, request: WebhookRequest<'_>, body: &Bytes) -> Result<Decoded, HookRefused> {
        self.signed(request)?.verify(body, &self.keys).map_err(unsigned)?;
        Ok(replicate::decode(body, &HookQuery::parse(request.query)?, request.at)?)
    }

    fn reread(&self, kept: &KeptPayload<'_>, at: Timestamp) -> Result<Decoded, DecodeError> {
        replicate::fetched(kept.request_id, kept.payload, at)
    }

    async fn fetch_status(&self, generation: &Generation, at: Timestamp) -> Result<Status, StatusError> {
        let refused = |code| StatusError::Refused { provider: NAME, code, key: "replicate_token" };
        if !self.api.has_key() {
            // It would say so, too.
            return Err(refused(401));
        }
        let id = &generation.request_id;
        let said = self.api.get(&format!("v1/predictions/{id}"), self.max_result).await?;
        match said.code {
            200..=299 => {}
            401 | 403 => return Err(refused(said.code)),
            404 => return Ok(Status::Unknown),
            _ => return Err(said.away()),
        }
        let decoded = replicate::fetched(id, &said.body, at)?;
        Ok(match decoded.record.status {
            GenerationStatus::Pending => Status::Running,
            _ => Status::Ended(Box::new(decoded)),
        })
    }
}
