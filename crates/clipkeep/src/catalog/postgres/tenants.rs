//! One tenant's rows.

use async_trait::async_trait;
use clipkeep_core::{
    event::{Event, Position},
    generation::Clip,
    id::{Provider, RequestId, Tenant},
    time::Timestamp,
};
use deadpool_postgres::Object;

use super::{
    super::{
        Registration, Result, page,
        row::{self, select_claims, select_clips, select_generations},
        tenants::{Own, Tenants, own_event, register_own},
    },
    PostgresCatalog,
    find::{all, first},
    outbox::settled,
    pool::on,
    record,
};

/// Lists one tenant's clips at risk, soonest first.
pub const AT_RISK: &str = select_clips!(
    "WHERE c.tenant = $1 AND c.state NOT IN ('stored', 'lost', 'rejected', 'deleted') \
    AND c.source_expires_at IS NOT NULL AND c.source_expires_at <= $2 ORDER BY c.source_expires_at, c.key LIMIT $3"
);

/// Reads what happened, and whose it is, up to where nothing comes in between any
/// more (`settled`).
pub const EVENTS: &str = "SELECT e.tx, e.id, e.at, e.type, e.provider, e.request_id, e.key, e.detail, e.tenant, coalesce(e.tenant, g.tenant) AS event_tenant \
    FROM events e LEFT JOIN generations g ON g.request_id = e.request_id AND g.provider = e.provider \
    WHERE (e.tx, e.id) > ($1, $2) AND e.tx <= $4 ORDER BY e.tx, e.id LIMIT $3";

/// Finds a tenant's generation by more than its own word.
const OWN: &str = select_generations!(
    "WHERE request_id = $1 AND tenant = $2 AND (provider = 'adopted' \
    OR provider IN (SELECT n.provider FROM key_owners n WHERE n.request_id = $1)) ORDER BY created_at, provider LIMIT 1"
);

/// Finds what a tenant claims.
const CLAIMED: &str = select_claims!("WHERE request_id = $1 AND tenant = $2 ORDER BY created_at, provider LIMIT 1");

#[async_trait]
impl Tenants for PostgresCatalog {
    async fn register_own(&self, tenant: &Tenant, registration: &Registration) -> Result<Own> {
        let id = (registration.provider.clone(), registration.request_id.clone());
        let register =
            |client| record::judged(client, &self.rules, id, |batch| register_own(batch, tenant, registration));
        on(&self.pool, "registering a generation", register).await
    }

    async fn own_generation(&self, tenant: &Tenant, request_id: &RequestId) -> Result<Option<Own>> {
        let (id, tenant) = (request_id.as_str(), tenant.as_str());
        let find = async |client: Object| {
            if let Some(known) = first(&client, OWN, &[&id, &tenant], row::generation).await? {
                return Ok(Some(Own::Confirmed(known)));
            }
            Ok(first(&client, CLAIMED, &[&id, &tenant], row::generation).await?.map(Own::Claimed))
        };
        on(&self.pool, "finding a generation", find).await
    }

    async fn owns(&self, tenant: &Tenant, provider: &Provider, request_id: &RequestId) -> Result<bool> {
        const SQL: &str = "SELECT 1 AS owned FROM generations g \
            JOIN key_owners n ON n.request_id = g.request_id AND n.provider = g.provider \
            WHERE g.request_id = $1 AND g.provider = $2 AND g.tenant = $3";
        let (id, provider, tenant) = (request_id.as_str(), provider.as_str(), tenant.as_str());
        let find = async |client| first(&client, SQL, &[&id, &provider, &tenant], |_| Ok(())).await;
        Ok(on(&self.pool, "finding a generation", find).await?.is_some())
    }

    async fn own_at_risk(&self, tenant: &Tenant, until: Timestamp, limit: u32) -> Result<Vec<Clip>> {
        let (tenant, limit) = (tenant.as_str(), i64::from(page::size(limit)));
        let list = async |client| all(&client, AT_RISK, &[&tenant, &until.millis(), &limit], row::clip).await;
        on(&self.pool, "listing clips at risk", list).await
    }

    async fn own_events(&self, tenant: &Tenant, after: Position, limit: u32) -> Result<Vec<(Position, Option<Event>)>> {
        let limit = i64::from(page::size(limit));
        let read = async |client: Object| {
            let settled = settled(&client).await?;
            all(&client, EVENTS, &[&after.tx, &after.id, &limit, &settled], |row| own_event(row, tenant)).await
        };
        on(&self.pool, "reading events", read).await
    }
}
