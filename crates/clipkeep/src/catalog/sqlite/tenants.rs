//! One tenant's rows.

use std::sync::Arc;

use async_trait::async_trait;
use clipkeep_core::{
    event::{Event, Position},
    generation::Clip,
    id::{Provider, RequestId, Tenant},
    time::Timestamp,
};

use super::{
    super::{
        Registration, Result, page,
        row::{self, select_claims, select_clips, select_generations},
        tenants::{Own, Tenants, own_event, register_own},
    },
    SqliteCatalog,
    find::{all, first},
    record,
};

/// Lists one tenant's clips at risk, soonest first.
pub const AT_RISK: &str = select_clips!(
    "WHERE c.tenant = ?1 AND c.state NOT IN ('stored', 'lost', 'rejected', 'deleted') \
    AND c.source_expires_at IS NOT NULL AND c.source_expires_at <= ?2 ORDER BY c.source_expires_at, c.key LIMIT ?3"
);

/// Reads what happened, and whose it is.
pub const EVENTS: &str = "SELECT e.tx, e.id, e.at, e.type, e.provider, e.request_id, e.key, e.detail, e.tenant, coalesce(e.tenant, g.tenant) AS event_tenant \
    FROM events e LEFT JOIN generations g ON g.request_id = e.request_id AND g.provider = e.provider \
    WHERE e.id > ?1 ORDER BY e.id LIMIT ?2";

/// Finds a tenant's generation by more than its own word.
const OWN: &str = select_generations!(
    "WHERE request_id = ?1 AND tenant = ?2 AND (provider = 'adopted' \
    OR provider IN (SELECT n.provider FROM key_owners n WHERE n.request_id = ?1)) ORDER BY created_at, provider LIMIT 1"
);

/// Finds what a tenant claims.
const CLAIMED: &str = select_claims!("WHERE request_id = ?1 AND tenant = ?2 ORDER BY created_at, provider LIMIT 1");

#[async_trait]
impl Tenants for SqliteCatalog {
    async fn register_own(&self, tenant: &Tenant, registration: &Registration) -> Result<Own> {
        let (tenant, registration, rules) = (tenant.clone(), registration.clone(), Arc::clone(&self.rules));
        let id = (registration.provider.clone(), registration.request_id.clone());
        let register = move |tx: &rusqlite::Connection| {
            record::judged(tx, &rules, &id, |batch| register_own(batch, &tenant, &registration))
        };
        self.writer.write("registering a generation", register).await
    }

    async fn own_generation(&self, tenant: &Tenant, request_id: &RequestId) -> Result<Option<Own>> {
        let (id, tenant) = (request_id.to_string(), tenant.to_string());
        let find = move |db: &rusqlite::Connection| {
            let known = first(db, OWN, [&id, &tenant], |row| row::generation(row))?.map(Own::Confirmed);
            let claimed = || first(db, CLAIMED, [&id, &tenant], |row| row::generation(row));
            known.map_or_else(|| Ok(claimed()?.map(Own::Claimed)), |own| Ok(Some(own)))
        };
        self.readers.read("finding a generation", find).await
    }

    async fn owns(&self, tenant: &Tenant, provider: &Provider, request_id: &RequestId) -> Result<bool> {
        const SQL: &str = "SELECT 1 AS owned FROM generations g \
            JOIN key_owners n ON n.request_id = g.request_id AND n.provider = g.provider \
            WHERE g.request_id = ?1 AND g.provider = ?2 AND g.tenant = ?3";
        let params = [request_id.to_string(), provider.to_string(), tenant.to_string()];
        let look = move |db: &rusqlite::Connection| Ok(db.prepare_cached(SQL)?.exists(params)?);
        self.readers.read("finding a generation", look).await
    }

    async fn own_at_risk(&self, tenant: &Tenant, until: Timestamp, limit: u32) -> Result<Vec<Clip>> {
        let params = (tenant.to_string(), until.millis(), page::size(limit));
        self.readers.read("listing clips at risk", move |db| all(db, AT_RISK, params, |row| row::clip(row))).await
    }

    async fn own_events(&self, tenant: &Tenant, after: Position, limit: u32) -> Result<Vec<(Position, Option<Event>)>> {
        let (tenant, params) = (tenant.clone(), (after.id, page::size(limit)));
        self.readers.read("reading events", move |db| all(db, EVENTS, params, |row| own_event(row, &tenant))).await
    }
}
