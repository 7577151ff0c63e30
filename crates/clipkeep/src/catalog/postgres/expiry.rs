//! Records that are too old. Nodes that do this at once remove different rows.

use async_trait::async_trait;
use clipkeep_core::{id::ClipKey, time::Timestamp};
use deadpool_postgres::{GenericClient, Object};

use super::{
    super::{
        Expiry, ForgottenHistory, Result,
        expiry::{COUNTS, IS_DAY, LASTING},
    },
    PostgresCatalog,
    find::first,
    pool::on,
};

const FORGET_EVENTS: &str = "WITH gone AS (DELETE FROM events WHERE (tx, id) IN (SELECT e.tx, e.id FROM \
    (SELECT tx, id, at FROM events ORDER BY tx, id LIMIT $3 FOR UPDATE SKIP LOCKED) e WHERE e.at < $1 \
    AND (e.tx, e.id) < (SELECT l.tx, l.id FROM events l ORDER BY l.tx DESC, l.id DESC LIMIT 1) \
    AND NOT EXISTS (SELECT 1 FROM endpoints p WHERE p.endpoint = ANY($2) AND (p.tx, p.id) < (e.tx, e.id)) \
    AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.tx = e.tx AND d.id = e.id AND d.status = 'waiting')) \
    RETURNING tx, id), \
    parked AS (DELETE FROM deliveries d USING gone WHERE d.tx = gone.tx AND d.id = gone.id AND d.status = 'parked') \
    SELECT count(*) AS gone FROM gone";

async fn forget_history(client: &Object, after: &str, before: Timestamp, clips: u32) -> Result<ForgottenHistory> {
    const PAGE: &str = "SELECT max(key) AS key, count(*) AS clips FROM \
        (SELECT key FROM clips WHERE key > $1 ORDER BY key LIMIT $2) page";
    let read = |row: &tokio_postgres::Row| Ok((row.get("key"), row.get("clips")));
    let page: Option<(Option<String>, i64)> = first(client, PAGE, &[&after, &i64::from(clips)], read).await?;
    let Some((Some(last), count)) = page else { return Ok(ForgottenHistory::default()) };
    let forget = format!(
        "DELETE FROM history h USING clips c WHERE c.key > $1 AND c.key <= $2 \
         AND c.state NOT IN ('waiting', 'filling') AND h.key = c.key AND h.key > $1 AND h.key <= $2 \
         AND h.at < $3 AND h.event NOT IN ({LASTING})"
    );
    let statement = client.prepare_cached(&forget).await?;
    let lines = client.execute(&statement, &[&after, &last, &before.millis()]).await?;
    let last = if count == i64::from(clips) { last.parse().ok() } else { None };
    Ok(ForgottenHistory { lines, last })
}

#[async_trait]
impl Expiry for PostgresCatalog {
    async fn forget_events(&self, before: Timestamp, endpoints: &[String], limit: u32) -> Result<u64> {
        on(&self.pool, "forgetting old events", async |client| {
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
                [&before.millis(), &endpoints, &i64::from(limit)];
            let gone = first(&client, FORGET_EVENTS, &values, |row| Ok(row.get::<_, i64>("gone"))).await?;
            Ok(gone.unwrap_or_default().unsigned_abs())
        })
        .await
    }

    async fn forget_history(&self, after: Option<&ClipKey>, before: Timestamp, clips: u32) -> Result<ForgottenHistory> {
        let after = after.map_or("", ClipKey::as_str);
        let forget = async |client: Object| forget_history(&client, after, before, clips).await;
        on(&self.pool, "forgetting old history", forget).await
    }

    async fn next_usage_hour(&self, after: Option<Timestamp>) -> Result<Option<Timestamp>> {
        let sql = format!("SELECT hour FROM usage WHERE hour > $1 AND NOT ({IS_DAY}) ORDER BY hour LIMIT 1");
        let after = after.map_or(i64::MIN, Timestamp::millis);
        on(&self.pool, "looking for old usage", async |client| {
            first(&client, &sql, &[&after], |row| Ok(Timestamp::from_millis(row.get("hour")))).await
        })
        .await
    }

    async fn roll_up_usage(&self, hour: Timestamp, limit: u32) -> Result<u64> {
        let names = COUNTS.join(", ");
        let sums = COUNTS.map(|name| format!("{name} = u.{name} + excluded.{name}")).join(", ");
        // In the order in which nodes add, so that neither waits for the other.
        let sql = format!(
            "WITH old AS (SELECT key, tenant FROM usage WHERE hour = $2 ORDER BY key, tenant LIMIT $3 FOR UPDATE), \
             gone AS (DELETE FROM usage d USING old WHERE d.hour = $2 AND d.key = old.key AND d.tenant = old.tenant \
             RETURNING d.*), \
             added AS (INSERT INTO usage AS u (hour, key, tenant, {names}) \
             SELECT $1, key, tenant, {names} FROM gone ORDER BY key, tenant \
             ON CONFLICT (hour, key, tenant) DO UPDATE SET {sums}) SELECT count(*) AS gone FROM gone"
        );
        on(&self.pool, "rolling usage up", async |client| {
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
                [&hour.day_start().millis(), &hour.millis(), &i64::from(limit)];
            let gone = first(&client, &sql, &values, |row| Ok(row.get::<_, i64>("gone"))).await?;
            Ok(gone.unwrap_or_default().unsigned_abs())
        })
        .await
    }
}
