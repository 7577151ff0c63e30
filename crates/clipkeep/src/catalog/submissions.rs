//! Submits that bear an idempotency key, so that none is paid for twice.

use async_trait::async_trait;
use clipkeep_core::{
    generation::Generation,
    id::{Provider, RequestId},
    time::Timestamp,
};

use super::{Registration, Result};

/// A submit that bears an idempotency key.
#[derive(Clone, Debug)]
pub struct SubmitCall {
    /// Whose key it is: different callers may use the same one.
    pub caller: String,
    pub key: String,
    /// A hash of what is asked for.
    pub request: String,
    pub at: Timestamp,
}

/// What is known of a call's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is new, and this call's from now on.
    New,
    /// Its submit is done: this generation came of it.
    Done(Provider, RequestId),
    /// Its submit began then, and how it ended is not known.
    Open(Timestamp),
    /// It was used to ask for something else.
    Other,
}

/// Submits that bear an idempotency key.
#[async_trait]
pub trait Submissions {
    /// Takes a call's key, durably, or says what became of it.
    async fn begin_submit(&self, call: &SubmitCall) -> Result<Begun>;

    /// The provider took it: registers the generation and writes down that it
    /// came of this call.
    async fn finish_submit(&self, call: &SubmitCall, registration: &Registration) -> Result<Generation>;

    /// The provider did not take it: the key may be used again.
    async fn forget_submit(&self, call: &SubmitCall) -> Result<()>;
}
