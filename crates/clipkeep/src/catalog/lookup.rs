//! Lookups for whoever goes through many clips, or asks what happens to one.

use async_trait::async_trait;
use clipkeep_core::{
    generation::Clip,
    id::{ClipKey, Provider, RequestId, Tenant},
    policy::Policy,
    secret::SourceUrl,
    state::ClipState,
    time::Timestamp,
};

use super::{Catalog, NodeId, Result};

/// A clip's row without what may be large: enough to tell where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipSummary {
    pub key: ClipKey,
    pub provider: Provider,
    /// The generation it came from.
    pub request_id: RequestId,
    /// Its place among its generation's clips, from 0.
    pub index: u32,
    /// Where it stood in what announced it.
    pub slot: String,
    pub state: ClipState,
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
    pub model: Option<String>,
    pub tenant: Option<Tenant>,
}

/// Who fills a clip now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseHolder {
    pub node: NodeId,
    /// Until when its lease holds, if it does not renew it.
    pub until: Timestamp,
}

/// Lookups beside those of [`super::Catalog`].
#[async_trait]
pub trait Lookup {
    /// All clips of these generations, whichever provider's, in no order.
    async fn clip_summaries(&self, request_ids: &[RequestId]) -> Result<Vec<ClipSummary>>;

    /// Who holds the lease on a clip, if somebody does.
    async fn lease_holder(&self, key: &ClipKey) -> Result<Option<LeaseHolder>>;
}

/// The clip that is meant by a name: its own, the one that it was announced under,
/// or the one that was promised before it was known what its generation makes
/// (`{request_id}.mp4`, and what came is a `.png`).
pub async fn clip_by_any_key(catalog: &dyn Catalog, key: &ClipKey) -> Result<Option<Clip>> {
    if let Some(clip) = catalog.clip(key).await? {
        return Ok(Some(clip));
    }
    let Some((request_id, index)) = key.parts() else { return Ok(None) };
    let Some(generation) = catalog.generation(&request_id).await? else { return Ok(None) };
    // Another provider's clips of the same id are others' clips.
    let is_it = |clip: &&ClipSummary| clip.index == index && clip.provider == generation.provider;
    match catalog.clip_summaries(&[request_id]).await?.iter().find(is_it) {
        Some(promised) => catalog.clip(&promised.key).await,
        None => Ok(None),
    }
}

/// What the clip that is meant by a name is called now.
pub async fn current_key(catalog: &dyn Catalog, key: &ClipKey) -> Result<ClipKey> {
    Ok(clip_by_any_key(catalog, key).await?.map_or_else(|| key.clone(), |clip| clip.key))
}
