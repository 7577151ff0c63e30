//! Providers: how each one's webhooks are believed and read, and how it is asked
//! what became of a generation. And the way to fal for what apps ask (`relay`).
//!
//! A provider is a file here, its name in [`HOOKS`] and a line in [`Providers::new`], beside its module
//! in the core's `hook`. Not the way into the catalogue, and not where clips are
//! fetched from.

mod api;
mod fal;
mod relay;
mod replicate;
mod standard;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use clipkeep_core::{
    config::Config,
    generation::Generation,
    hook::{DecodeError, Decoded, Form, QueryError},
    id::{Provider, RequestId},
    time::Timestamp,
};
use http::HeaderMap;

pub use self::{
    fal::{Fal, Submission, SubmitError, Submitted},
    relay::{FalRelay, Outgoing, RelayError, unanswered},
};
use self::{replicate::Replicate, standard::Standard};
use crate::jwks::JwksError;

/// The names of all, as in `/hooks/{name}`.
pub const HOOKS: [&str; 3] = ["fal", "replicate", "standard"];

/// Why a webhook was not taken. No text here holds an address or a key.
#[derive(Debug, thiserror::Error)]
pub enum HookRefused {
    /// Not signed, or not by whom it should be. 401.
    #[error("{0}")]
    Unsigned(String),
    /// Signed, but the hook URL's query is none. 400.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Signed, but not understood. 400.
    #[error(transparent)]
    Unread(#[from] DecodeError),
    /// The keys it would be checked with cannot be had. 503.
    #[error("the webhook keys cannot be had")]
    KeysAway(#[from] JwksError),
    /// Nobody said what its webhooks are signed with. 503.
    #[error("no key is known to check these webhooks with: set `{0}`")]
    NotConfigured(&'static str),
}

/// What a provider says of a generation.
#[derive(Debug)]
pub enum Status {
    Running,
    /// It is over, or this is all that there will be.
    Ended(Box<Decoded>),
    /// The provider does not know it, or not any more.
    Unknown,
}

/// Why a provider did not say. No text here holds an address or a key.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Nothing that is known of the generation says where to ask.
    #[error("nothing that is known of it says where to ask")]
    NoPlace,
    /// The key is wrong, missing, or may not ask. Others would be refused too.
    #[error("{provider} refuses to tell (HTTP {code}); hint: is `{key}` right, and of the account that generates?")]
    Refused {
        provider: &'static str,
        code: u16,
        /// The key of the configuration.
        key: &'static str,
    },
    /// An answer that nothing follows from.
    #[error("{provider} answers {code}")]
    Away {
        provider: &'static str,
        code: u16,
        /// How long it wants to be left alone.
        after: Option<Duration>,
    },
    /// No answer.
    #[error("{provider} {problem}")]
    Unanswered { provider: &'static str, problem: &'static str },
    /// Longer than a result may be.
    #[error("the answer is larger than {max} bytes (hook_max_body)")]
    TooLarge { max: usize },
    /// An answer that cannot be read.
    #[error("reading the answer: {0}")]
    Unread(#[from] DecodeError),
}

/// What a webhook's sender is told by, beside its body.
#[derive(Clone, Copy)]
pub struct WebhookRequest<'a> {
    pub headers: &'a HeaderMap,
    pub query: &'a str,
    pub at: Timestamp,
}

/// What is kept of a result that was not understood.
#[derive(Clone, Copy, Debug)]
pub struct KeptPayload<'k> {
    pub provider: &'k Provider,
    pub request_id: &'k RequestId,
    pub form: Form,
    pub payload: &'k Bytes,
}

/// A provider's ways.
#[async_trait]
pub trait ProviderAdapter: Send + Sync {
    /// Its name, as in `/hooks/{name}`.
    fn name(&self) -> &'static str;

    /// The cheap half of believing: what can be told before the body is read.
    ///
    /// # Errors
    /// If it is not to be believed, whatever the body.
    fn verify_headers(&self, request: WebhookRequest<'_>) -> Result<(), HookRefused>;

    /// Verifies a webhook over its raw body, and only then reads it. Dropping the
    /// future leaves nothing.
    ///
    /// # Errors
    /// If it is not believed, or not understood.
    async fn verify_and_decode(&self, request: WebhookRequest<'_>, body: &Bytes) -> Result<Decoded, HookRefused>;

    /// Reads again what was kept of a result, as this version understands it.
    ///
    /// # Errors
    /// If it is still not understood at all.
    fn reread(&self, kept: &KeptPayload<'_>, at: Timestamp) -> Result<Decoded, DecodeError>;

    /// Asks how far a generation is and, if it is over, what came of it.
    /// Dropping the future leaves nothing.
    ///
    /// # Errors
    /// If the provider does not say.
    async fn fetch_status(&self, generation: &Generation, at: Timestamp) -> Result<Status, StatusError>;
}

/// All providers.
pub struct Providers {
    /// fal, which can be submitted to as well.
    pub fal: Arc<Fal>,
    all: Vec<Arc<dyn ProviderAdapter>>,
}

impl Providers {
    /// The providers, as configured.
    ///
    /// # Errors
    /// If there can be no HTTP client.
    pub fn new(config: &Config) -> Result<Self, reqwest::Error> {
        let fal = Arc::new(Fal::new(config)?);
        let all: Vec<Arc<dyn ProviderAdapter>> =
            vec![Arc::clone(&fal) as _, Arc::new(Replicate::new(config)?), Arc::new(Standard::new(config))];
        Ok(Self { fal, all })
    }

    pub fn named(&self, name: &str) -> Option<&dyn ProviderAdapter> {
        self.all.iter().find(|adapter| adapter.name() == name).map(|adapter| &**adapter)
    }

    /// Reads again what was kept of a result, by its provider's ways; those that
    /// have none of their own speak the standard's.
    ///
    /// # Errors
    /// If it is still not understood at all.
    pub fn reread(&self, kept: &KeptPayload<'_>, at: Timestamp) -> Result<Decoded, DecodeError> {
        let own = self.all.iter().find(|adapter| adapter.name() == kept.provider.as_str());
        own.or_else(|| self.all.last()).ok_or(DecodeError::OtherProvider)?.reread(kept, at)
    }
}
