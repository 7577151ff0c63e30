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

use super::{Answer, AskError, Dialect, Envelope, HookRefused, Kept};

/// All of them.
pub(super) struct Standard {
    keys: Vec<NamedKey>,
    tolerance: std::time::Duration,
}

impl Standard {
    pub(super) fn new(config: &Config) -> Self {
        Self { keys: config.standard_webhook_secrets.clone(), tolerance: config.hook_tolerance }
    }

    fn signed<'e>(&self, envelope: Envelope<'e>) -> Result<SignedHeaders<'e>, HookRefused> {
        if self.keys.is_empty() {
            return Err(HookRefused::NotConfigured("standard_webhook_secrets"));
        }
        SignedHeaders::read(envelope.headers, envelope.at, self.tolerance).map_err(unsigned)
    }
}

fn unsigned(error: SignatureError) -> HookRefused {
    HookRefused::Unsigned(error.to_string())
}

#[async_trait]
impl Dialect for Standard {
    fn name(&self) -> &'static str {
        "standard"
    }

    fn screen(&self, envelope: Envelope<'_>) -> Result<(), HookRefused> {
        self.signed(envelope).map(drop)
    }

    async fn receive(&self, envelope: Envelope<'_>, body: &Bytes) -> Result<Decoded, HookRefused> {
        let keys = self.keys.iter().map(|named| &named.key);
        let fitted = self.signed(envelope)?.verify(body, keys).map_err(unsigned)?;
        let speaks_for = self.keys[fitted].provider.as_ref();
        Ok(standard::decode(body, speaks_for, &HookQuery::parse(envelope.query)?, envelope.at)?)
    }

    fn reread(&self, kept: &Kept<'_>, at: Timestamp) -> Result<Decoded, DecodeError> {
        standard::decode(kept.payload, Some(kept.provider), &HookQuery::default(), at)
    }

    async fn ask(&self, _: &Generation, _: Timestamp) -> Result<Answer, AskError> {
        Err(AskError::NoPlace)
    }
}
