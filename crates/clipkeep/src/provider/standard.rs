//! Any provider that signs as Standard Webhooks lay down and speaks the form of
//! docs/hooks.md. It cannot be asked.

use async_trait::async_trait;
use bytes::Bytes;
use clipkeep_core::{
    config::Config,
    generation::Generation,
    hook::{
        DecodeError, Decoded, HookQuery,
        standard::{self, NamedKey, SignatureError, SignedHeaders},
    },
    time::Timestamp,
};

use super::{HookRefused, KeptPayload, ProviderAdapter, Status, StatusError, WebhookRequest};

/// All of them.
pub(super) struct Standard {
    keys: Vec<NamedKey>,
    tolerance: std::time::Duration,
}

impl Standard {
    pub(super) fn new(config: &Config) -> Self {
        Self { keys: config.standard_webhook_secrets.clone(), tolerance: config.hook_tolerance }
    }

    fn signed<'e>(&self, request: WebhookRequest<'e>) -> Result<SignedHeaders<'e>, HookRefused> {
        if self.keys.is_empty() {
            return Err(HookRefused::NotConfigured("standard_webhook_secrets"));
        }
        SignedHeaders::read(request.headers, request.at, self.tolerance).map_err(unsigned)
    }
}

fn unsigned(error: SignatureError) -> HookRefused {
    HookRefused::Unsigned(error.to_string())
}

#[async_trait]
impl ProviderAdapter for Standard {
    fn name(&self) -> &'static str {
        "standard"
    }

    fn verify_headers(&self, request: WebhookRequest<'_>) -> Result<(), HookRefused> {
        self.signed(request).map(drop)
    }

    async fn verify_and_decode(&self, request: WebhookRequest<'_>, body: &Bytes) -> Result<Decoded, HookRefused> {
        let keys = self.keys.iter().map(|named| &named.key);
        let fitted = self.signed(request)?.verify(body, keys).map_err(unsigned)?;
        let speaks_for = self.keys[fitted].provider.as_ref();
        Ok(standard::decode(body, speaks_for, &HookQuery::parse(request.query)?, request.at)?)
    }

    fn reread(&self, kept: &KeptPayload<'_>, at: Timestamp) -> Result<Decoded, DecodeError> {
        standard::decode(kept.payload, Some(kept.provider), &HookQuery::default(), at)
    }

    async fn fetch_status(&self, _: &Generation, _: Timestamp) -> Result<Status, StatusError> {
        Err(StatusError::NoPlace)
    }
}
