//! Lookups for whoever goes through many clips, or asks what happens to one.

use async_trait::async_trait;
use clipkeep_core::{
    id::{ClipKey, Provider, RequestId, Tenant},
    policy::Policy,
    secret::SourceUrl,
    state::ClipState,
    time::Timestamp,
};

use super::{Catalog, NodeId, Result};

/// A clip's row without what may be large: enough to tell where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Its name.
    pub key: ClipKey,
    /// Who generated it.
    pub provider: Provider,
    /// The generation it came from.
    pub request_id: RequestId,
    /// Its place among its generation's clips, from 0.
    pub index: u32,
    /// Where it stood in what announced it.
    pub slot: String,
    /// Where it stands.
    pub state: ClipState,
    /// What triggers its fill.
    pub policy: Policy,
    /// Where the provider keeps it.
    pub source_url: SourceUrl,
    /// When its fill is due without a viewer.
    pub due_at: Option<Timestamp>,
    /// How often a fill was started.
    pub attempts: u32,
    /// Why the last fill failed, in words without a source URL.
    pub last_error: Option<String>,
    /// When it was first heard of.
    pub created_at: Timestamp,
    /// Its model.
    pub model: Option<String>,
    /// Whose it is.
    pub tenant: Option<Tenant>,
}

/// Who fills a clip now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The node.
    pub node: NodeId,
    /// Until when its lease holds, if it does not renew it.
    pub until: Timestamp,
}

/// Lookups beside those of [`super::Catalog`].
#[async_trait]
pub trait Lookup {
    /// All clips of these generations, whichever provider's, in no order.
    async fn outlines(&self, request_ids: &[RequestId]) -> Result<Vec<Outline>>;

    /// Who holds the lease on a clip, if somebody does.
    async fn holder(&self, key: &ClipKey) -> Result<Option<Holder>>;
}

/// What the clip that is meant by a name is called now.
pub async fn name_now(catalog: &dyn Catalog, key: &ClipKey) -> Result<ClipKey> {
    Ok(catalog.clip(key).await?.map_or_else(|| key.clone(), |clip| clip.key))
}
