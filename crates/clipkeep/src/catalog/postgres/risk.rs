//! Clips at risk.

use async_trait::async_trait;
use clipkeep_core::{event::EventType, generation::Clip, id::Tenant, time::Timestamp};
use deadpool_postgres::{GenericClient, Object};

use super::{
    super::{
        Result, page,
        risk::AtRisk,
        row::{self, select_clips},
    },
    PostgresCatalog,
    find::{all, first},
    pool::on,
};

/// Lists clips at risk, soonest first.
pub const AT_RISK: &str = select_clips!(
    "WHERE c.state NOT IN ('stored', 'lost', 'rejected', 'deleted') AND c.source_expires_at IS NOT NULL AND c.source_expires_at <= $1 \
    ORDER BY c.source_expires_at, c.key LIMIT $2"
);

/// The same of those that nobody was told of. Locks them.
pub const UNREPORTED: &str = select_clips!(
    "WHERE c.state NOT IN ('stored', 'lost', 'rejected', 'deleted') AND c.source_expires_at IS NOT NULL AND NOT c.at_risk_reported \
    AND c.source_expires_at <= $1 ORDER BY c.source_expires_at, c.key LIMIT $2 FOR NO KEY UPDATE OF c SKIP LOCKED"
);

/// Lists clips whose last attempt failed.
pub const FAILING: &str = select_clips!(
    "WHERE c.state NOT IN ('filling', 'stored', 'lost', 'rejected', 'deleted') AND c.last_error IS NOT NULL AND ($1::TEXT IS NULL OR c.tenant = $1) \
    ORDER BY c.created_at DESC, c.key DESC LIMIT $2"
);

async fn report(mut client: Object, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Clip>> {
    const REPORT: &str = "WITH reported AS (UPDATE clips c SET at_risk_reported = TRUE \
        FROM unnest($3::text[], $4::text[]) AS n (key, why) WHERE c.key = n.key \
        RETURNING c.key, c.provider, c.request_id, n.why), \
        announced AS (INSERT INTO events (at, type, provider, request_id, key, detail) \
        SELECT $1, $2, provider, request_id, key, why FROM reported) \
        INSERT INTO history (key, at, event, detail) SELECT key, $1, 'at_risk', why FROM reported";
    let tx = client.transaction().await?;
    let clips = all(&tx, UNREPORTED, &[&until.millis(), &i64::from(page::size(limit))], row::clip).await?;
    if !clips.is_empty() {
        let keys: Vec<&str> = clips.iter().map(|clip| clip.key.as_str()).collect();
        let why: Vec<String> = clips.iter().map(Clip::risk).collect();
        let statement = tx.prepare_cached(REPORT).await?;
        tx.execute(&statement, &[&now.millis(), &EventType::ClipAtRisk.as_str(), &keys, &why]).await?;
    }
    tx.commit().await?;
    Ok(clips)
}

async fn count(client: &impl GenericClient, until: Timestamp) -> Result<u64> {
    const SQL: &str = "SELECT count(*) AS clips FROM clips \
        WHERE state NOT IN ('stored', 'lost', 'rejected', 'deleted') AND source_expires_at IS NOT NULL AND source_expires_at <= $1";
    let count: Option<i64> = first(client, SQL, &[&until.millis()], |row| Ok(row.try_get("clips")?)).await?;
    Ok(count.unwrap_or_default().cast_unsigned())
}

#[async_trait]
impl AtRisk for PostgresCatalog {
    async fn report_at_risk(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Clip>> {
        on(&self.pool, "reporting clips at risk", |client| report(client, now, until, limit)).await
    }

    async fn at_risk(&self, until: Timestamp, limit: u32) -> Result<Vec<Clip>> {
        let limit = i64::from(page::size(limit));
        let list = async |client| all(&client, AT_RISK, &[&until.millis(), &limit], row::clip).await;
        on(&self.pool, "listing clips at risk", list).await
    }

    async fn failing(&self, tenant: Option<&Tenant>, limit: u32) -> Result<Vec<Clip>> {
        let (tenant, limit) = (tenant.map(Tenant::as_str), i64::from(page::size(limit)));
        let list = async |client| all(&client, FAILING, &[&tenant, &limit], row::clip).await;
        on(&self.pool, "listing clips that fail", list).await
    }

    async fn count_at_risk(&self, until: Timestamp) -> Result<u64> {
        on(&self.pool, "counting clips at risk", async |client| count(&client, until).await).await
    }
}
