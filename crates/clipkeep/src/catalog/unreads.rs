//! Results that were not understood: what a provider said, as it came.

use async_trait::async_trait;
use clipkeep_core::{
    hook::{Form, Unread},
    id::{Provider, RequestId, Tenant},
    time::Timestamp,
};

use super::Result;

/// A result that was not understood, as far as its row tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadRow {
    pub provider: Provider,
    pub request_id: RequestId,
    pub at: Timestamp,
    pub form: Form,
    /// Why it was not understood.
    pub why: String,
    /// How many bytes it had.
    pub len: u64,
    /// How many of them are kept; none once they were erased.
    pub kept: Option<u64>,
    pub model: Option<String>,
    pub tenant: Option<Tenant>,
}

impl UnreadRow {
    /// Where a page that ends with it goes on.
    pub fn cursor(&self) -> UnreadCursor {
        UnreadCursor { at: self.at, request_id: self.request_id.clone(), provider: self.provider.clone() }
    }
}

/// Where a page of them starts: after this one, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadCursor {
    pub at: Timestamp,
    pub request_id: RequestId,
    pub provider: Provider,
}

/// What a generation's result is from now on.
#[derive(Clone, Debug)]
pub(crate) struct UnreadResult {
    pub(crate) at: Timestamp,
    pub(crate) unread: Unread,
}

/// Results that were not understood.
#[async_trait]
pub trait Unreads {
    /// Those that there are, oldest first, after `after`; a tenant's own, if one
    /// is named.
    async fn unreads(
        &self,
        tenant: Option<&Tenant>,
        after: Option<&UnreadCursor>,
        limit: u32,
    ) -> Result<Vec<UnreadRow>>;

    /// A generation's, with what is kept of it.
    async fn unread(&self, provider: &Provider, request_id: &RequestId)
    -> Result<Option<(UnreadRow, Option<Vec<u8>>)>>;

    /// Erases what is kept of it.
    async fn erase_unread(&self, provider: &Provider, request_id: &RequestId) -> Result<()>;

    /// The sources of clips whose bytes came as data and are not under their own
    /// keys yet.
    async fn inlines(&self) -> Result<Vec<(Provider, RequestId, String)>>;
}
