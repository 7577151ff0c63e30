//! Links that are revoked before their time.

use async_trait::async_trait;
use clipkeep_core::{
    id::{ClipKey, Tenant},
    link::Revocation,
    time::Timestamp,
};
use deadpool_postgres::GenericClient;
use tokio_postgres::types::ToSql;

use super::{
    super::{
        Result,
        revocations::{MAX_REVOCATIONS, MAX_REVOCATIONS_OF_TENANTS, MAX_REVOCATIONS_PER_TENANT, NOBODY, Revocations},
        row,
    },
    PostgresCatalog,
    find::{all, first},
    pool::on,
};

const REVOKE: &str = "WITH gone AS (DELETE FROM revocations WHERE ends_at <= $2), \
    counted AS (SELECT count(*) AS everyones, count(tenant) AS tenants, count(*) FILTER (WHERE tenant = $7) AS own \
    FROM revocations WHERE ends_at IS NULL OR ends_at > $2), \
    kept AS (INSERT INTO revocations (what, revoked_at, ends_at, tenant) SELECT $1, $2, $3, $7 FROM counted \
    WHERE $3::bigint IS NULL OR (everyones < $4 AND ($7::text IS NULL OR (tenants < $8 AND own < $9))) \
    ON CONFLICT (what) DO NOTHING RETURNING what) \
    INSERT INTO events (at, type, provider, request_id, detail) SELECT $2, 'link.revoked', $5, $6, what FROM kept";

const REVOKE_LINKS: &str = "WITH raised AS (UPDATE clips SET link_generation = link_generation + 1 WHERE key = $1 \
    RETURNING key, provider, request_id, link_generation), \
    announced AS (INSERT INTO events (at, type, provider, request_id, key) \
    SELECT $2, 'link.revoked', provider, request_id, key FROM raised), \
    logged AS (INSERT INTO history (key, at, event, detail) \
    SELECT key, $2, 'links_revoked', 'generation ' || link_generation || ' from now on' FROM raised) \
    SELECT link_generation FROM raised";

async fn revoke(
    client: &impl GenericClient,
    revocation: &Revocation,
    by: Option<&Tenant>,
    at: Timestamp,
) -> Result<bool> {
    const KNOWN: &str = "SELECT what FROM revocations WHERE what = $1";
    let (what, ends) = (revocation.to_string(), revocation.ends().map(Timestamp::millis));
    let [provider, request_id] = NOBODY;
    let statement = client.prepare_cached(REVOKE).await?;
    let (at, by) = (at.millis(), by.map(Tenant::as_str));
    let [most, of_tenants, of_one] =
        [MAX_REVOCATIONS, MAX_REVOCATIONS_OF_TENANTS, MAX_REVOCATIONS_PER_TENANT].map(i64::from);
    let params: &[&(dyn ToSql + Sync)] = &[&what, &at, &ends, &most, &provider, &request_id, &by, &of_tenants, &of_one];
    let told = client.execute(&statement, params).await?;
    Ok(told > 0 || first(client, KNOWN, &[&what], row::revocation).await?.is_some())
}

#[async_trait]
impl Revocations for PostgresCatalog {
    async fn revocations(&self, now: Timestamp) -> Result<Vec<Revocation>> {
        const SQL: &str = "SELECT what FROM revocations WHERE ends_at IS NULL OR ends_at > $1";
        let read = async |client| all(&client, SQL, &[&now.millis()], row::revocation).await;
        on(&self.pool, "reading revocations", read).await
    }

    async fn revoke(&self, revocation: &Revocation, by: Option<&Tenant>, at: Timestamp) -> Result<bool> {
        on(&self.pool, "revoking links", async |client| revoke(&client, revocation, by, at).await).await
    }

    async fn revoke_links_of(&self, key: &ClipKey, at: Timestamp) -> Result<Option<u32>> {
        let params: &[&(dyn ToSql + Sync)] = &[&key.as_str(), &at.millis()];
        let raise = async |client| {
            first(&client, REVOKE_LINKS, params, |row| Ok(row.try_get::<_, i64>("link_generation")?)).await
        };
        let raised = on(&self.pool, "revoking a clip's links", raise).await?;
        Ok(raised.map(|generation| u32::try_from(generation).unwrap_or(u32::MAX)))
    }
}
