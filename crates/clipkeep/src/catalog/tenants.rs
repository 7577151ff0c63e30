//! What a tenant may see and touch, where a filter on what was found is not
//! enough.

use async_trait::async_trait;
use clipkeep_core::{
    event::{Event, Position},
    generation::{Clip, Facts, Generation},
    id::{ClipKey, Provider, RequestId, Tenant},
    time::Timestamp,
};

use super::{
    CatalogError, Registration, Result,
    merge::{GenerationMark, Ledger},
    row::{self, Columns},
};

/// The part of the catalogue that knows of one tenant's rows alone.
#[async_trait]
pub trait Tenants {
    /// [`super::Catalog::register`] for a tenant: the generation is its own.
    /// `None`, and nothing is written, if it is known and not the tenant's; two
    /// that register at once are judged one after the other. `KeyTaken` if the
    /// clips' names are another provider's generation's.
    async fn register_own(&self, tenant: &Tenant, registration: &Registration) -> Result<Option<Generation>>;

    /// The tenant's generation with this id. Should two providers have given
    /// it, the older one.
    async fn own_generation(&self, tenant: &Tenant, request_id: &RequestId) -> Result<Option<Generation>>;

    /// Whether a generation is the tenant's by more than its own word: confirmed
    /// by its provider, or submitted through us.
    async fn owns(&self, tenant: &Tenant, provider: &Provider, request_id: &RequestId) -> Result<bool>;

    /// [`super::risk::AtRisk::at_risk`] of a tenant's clips.
    async fn own_at_risk(&self, tenant: &Tenant, until: Timestamp, limit: u32) -> Result<Vec<Clip>>;

    /// [`super::Outbox::events`] for a tenant: of what is not its own there is
    /// only the position.
    async fn own_events(&self, tenant: &Tenant, after: Position, limit: u32) -> Result<Vec<(Position, Option<Event>)>>;
}

/// Takes in a registration by a tenant, unless the generation is another's or
/// nobody's.
pub(super) fn register_own(
    ledger: &mut Ledger<'_>,
    tenant: &Tenant,
    registration: &Registration,
) -> Result<Option<Generation>> {
    let Registration { provider, request_id, facts, .. } = registration;
    // What was found in the store would be taken over, so it is judged, too.
    let is_it = |known: &&Generation| {
        known.request_id == *request_id && (known.provider == *provider || known.provider == Provider::adopted())
    };
    let is_anothers = |known: &Generation| known.facts.tenant.as_ref() != Some(tenant);
    if ledger.generations(GenerationMark::Known).filter(is_it).any(is_anothers) {
        return Ok(None);
    }
    if let Some(holder) = ledger.other_holder(&(provider.clone(), request_id.clone())) {
        return Err(CatalogError::KeyTaken { key: ClipKey::new(request_id, 0, "mp4"), provider: holder.clone() });
    }
    let facts = Facts { tenant: Some(tenant.clone()), ..facts.clone() };
    Ok(Some(ledger.tell_of(&Registration { facts, ..registration.clone() })))
}

/// Reads an event and `whose` it is: its own tenant, or its generation's.
pub(super) fn own_event(row: &impl Columns, tenant: &Tenant) -> Result<(Position, Option<Event>)> {
    let (position, event) = row::event(row)?;
    let whose = row.text("whose").map_err(|_| CatalogError::BadRow {
        table: "generations",
        key: event.subject().to_owned(),
        column: "tenant",
    })?;
    Ok((position, (whose.as_deref() == Some(tenant.as_str())).then_some(event)))
}
