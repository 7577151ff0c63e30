//! What a tenant may see and touch, where a filter on what was found is not
//! enough.

use std::time::Duration;

use async_trait::async_trait;
use clipkeep_core::{
    event::{Event, Position},
    generation::{Clip, Facts, Generation},
    id::{Provider, RequestId, Tenant},
    state::GenerationStatus,
    time::Timestamp,
};

use super::{
    CatalogError, Registration, Result,
    merge::{GenerationChange, MergeBatch},
    row::{self, Columns},
};

/// The part of the catalogue that knows of one tenant's rows alone.
#[async_trait]
pub trait Tenants {
    /// [`super::Catalog::register`] for a tenant. While no more than its own word
    /// says that the generation is its own, this answers the tenant's claim,
    /// alike whether the generation is new, another's or nobody's. A new one is
    /// waited and asked for as the tenant's; the others stay as they are.
    async fn register_own(&self, tenant: &Tenant, registration: &Registration) -> Result<Own>;

    /// The tenant's generation with this id, or its claim to one. Should two
    /// providers have given it, the older one.
    async fn own_generation(&self, tenant: &Tenant, request_id: &RequestId) -> Result<Option<Own>>;

    /// Whether a generation is the tenant's by more than its own word: confirmed
    /// by its provider, or submitted through us.
    async fn owns(&self, tenant: &Tenant, provider: &Provider, request_id: &RequestId) -> Result<bool>;

    /// [`super::risk::AtRisk::at_risk`] of a tenant's clips.
    async fn own_at_risk(&self, tenant: &Tenant, until: Timestamp, limit: u32) -> Result<Vec<Clip>>;

    /// [`super::Outbox::events`] for a tenant: of what is not its own there is
    /// only the position.
    async fn own_events(&self, tenant: &Tenant, after: Position, limit: u32) -> Result<Vec<(Position, Option<Event>)>>;
}

/// A generation, as its tenant may see it.
#[derive(Clone, Debug, PartialEq)]
pub enum Own {
    /// It is the tenant's, by more than its own word.
    Confirmed(Generation),
    /// What the tenant said of it, and nothing else.
    Claimed(Generation),
}

impl Own {
    /// The generation as its tenant is told of it at `now`. A claim that nobody
    /// confirmed within `timeout` counts as failed.
    pub fn visible_at(self, now: Timestamp, timeout: Duration) -> Generation {
        let row = match self {
            Self::Confirmed(row) => return row,
            Self::Claimed(row) => row,
        };
        let over = row.created_at.plus(timeout);
        if now < over {
            return row;
        }
        let error = Some(format!("nobody confirmed it in {} s", timeout.as_secs()));
        Generation { status: GenerationStatus::Failed, error, completed_at: Some(over), ..row }
    }
}

/// Takes in a registration by a tenant.
pub(super) fn register_own(batch: &mut MergeBatch<'_>, tenant: &Tenant, registration: &Registration) -> Own {
    let Registration { provider, request_id, facts, at } = registration;
    let id = (provider.clone(), request_id.clone());
    // What was found in the store would be taken over, so it is judged, too.
    let is_it = |known: &&Generation| {
        known.request_id == *request_id && (known.provider == *provider || known.provider == Provider::adopted())
    };
    let is_anothers = |known: &Generation| known.facts.tenant.as_ref() != Some(tenant);
    let is_taken = batch.generations(GenerationChange::Unchanged).filter(is_it).any(is_anothers);
    if !is_taken && batch.other_owner(&id).is_none() {
        let facts = Facts { tenant: Some(tenant.clone()), ..facts.clone() };
        let row = batch.merge_registration(&Registration { facts, ..registration.clone() });
        if batch.is_confirmed(&id) {
            return Own::Confirmed(row);
        }
    }
    Own::Claimed(batch.claim(&id, tenant, facts, *at))
}

/// Reads an event and `tenant`, whose it is: its own tenant, or its generation's.
pub(super) fn own_event(row: &impl Columns, tenant: &Tenant) -> Result<(Position, Option<Event>)> {
    let (position, event) = row::event(row)?;
    let event_tenant = row.text("event_tenant").map_err(|_| CatalogError::BadRow {
        table: "generations",
        key: event.subject().to_owned(),
        column: "tenant",
    })?;
    Ok((position, (event_tenant.as_deref() == Some(tenant.as_str())).then_some(event)))
}
