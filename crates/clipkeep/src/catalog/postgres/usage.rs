//! Usage.

use async_trait::async_trait;
use clipkeep_core::usage::UsageRow;
use deadpool_postgres::Object;
use serde_json::{Value, json};
use tokio_postgres::types::ToSql;

use super::{
    super::{
        OperationsRow, Result,
        usage::{self, BATCH_ID_TTL, UsageBatch, UsageBook, UsageFilter, UsageGroup, UsagePage},
    },
    PostgresCatalog,
    find::{all, sql_value},
    pool::on,
};

/// Takes a batch's number, unless it was taken before.
const NEXT: &str = "INSERT INTO usage_batches AS known (node, seq, at) VALUES ($1, $2, $3) \
    ON CONFLICT (node) DO UPDATE SET seq = excluded.seq, at = excluded.at WHERE known.seq < excluded.seq";

const FORGET: &str = "DELETE FROM usage_batches WHERE at < $1";

/// In one order on all nodes: none waits for another that waits for it. What was
/// counted under the name that a clip had before is its own.
const ADD: &str = "INSERT INTO usage AS u (hour, key, tenant, plays, viewer_bytes, hits, cold_fetches, source_bytes, \
    aborted_plays, first_byte_micros, first_bytes) \
    SELECT n.hour, coalesce((SELECT c.key FROM clips c WHERE c.was_key = n.key LIMIT 1), n.key) AS name, n.tenant, \
    sum(n.plays)::bigint, sum(n.viewer_bytes)::bigint, sum(n.hits)::bigint, sum(n.cold_fetches)::bigint, \
    sum(n.source_bytes)::bigint, sum(n.aborted_plays)::bigint, sum(n.first_byte_micros)::bigint, \
    sum(n.first_bytes)::bigint FROM json_populate_recordset(NULL::usage, $1::text::json) n \
    GROUP BY n.hour, name, n.tenant ORDER BY n.hour, name, n.tenant \
    ON CONFLICT (hour, key, tenant) DO UPDATE SET plays = u.plays + excluded.plays, \
    viewer_bytes = u.viewer_bytes + excluded.viewer_bytes, hits = u.hits + excluded.hits, \
    cold_fetches = u.cold_fetches + excluded.cold_fetches, source_bytes = u.source_bytes + excluded.source_bytes, \
    aborted_plays = u.aborted_plays + excluded.aborted_plays, \
    first_byte_micros = u.first_byte_micros + excluded.first_byte_micros, \
    first_bytes = u.first_bytes + excluded.first_bytes";

const ADD_OPERATIONS: &str = "INSERT INTO operations AS o (hour, writes, reads) VALUES ($1, $2, $3) \
    ON CONFLICT (hour) DO UPDATE SET writes = o.writes + excluded.writes, reads = o.reads + excluded.reads";

#[async_trait]
impl UsageBook for PostgresCatalog {
    async fn add_usage(&self, batch: &UsageBatch) -> Result<()> {
        on(&self.pool, "writing usage", async |client| add(client, batch).await).await
    }

    async fn usage(
        &self,
        filter: &UsageFilter,
        group: UsageGroup,
        after: Option<&str>,
        limit: u32,
    ) -> Result<UsagePage> {
        let list = usage::list(filter, group, after, limit, '$');
        let values: Vec<&(dyn ToSql + Sync)> = list.values.iter().map(sql_value).collect();
        let look = async |client| all(&client, &list.sql, &values, usage::line).await;
        Ok(usage::page(on(&self.pool, "adding usage up", look).await?, limit))
    }
}

async fn add(mut client: Object, batch: &UsageBatch) -> Result<()> {
    let tx = client.transaction().await?;
    if tx.execute(NEXT, &[&batch.node, &batch.seq, &batch.at.millis()]).await? != 1 {
        return Ok(());
    }
    if batch.seq == 1 {
        tx.execute(FORGET, &[&batch.at.minus(BATCH_ID_TTL).millis()]).await?;
    }
    for OperationsRow { hour, writes, reads } in &batch.operations {
        let values: [&(dyn ToSql + Sync); 3] = [&hour.millis(), &writes.cast_signed(), &reads.cast_signed()];
        tx.execute(ADD_OPERATIONS, &values).await?;
    }
    let rows: Vec<Value> = batch.rows.iter().map(row).collect();
    let statement = tx.prepare_cached(ADD).await?;
    tx.execute(&statement, &[&Value::from(rows).to_string()]).await?;
    Ok(tx.commit().await?)
}

fn row(row: &UsageRow) -> Value {
    let UsageRow { hour, key, tenant, counts } = row;
    json!({
        "hour": hour.millis(),
        "key": key.as_str(),
        "tenant": tenant.as_ref().map_or("", |tenant| tenant.as_str()),
        "plays": counts.plays,
        "viewer_bytes": counts.viewer_bytes,
        "hits": counts.hits,
        "cold_fetches": counts.cold_fetches,
        "source_bytes": counts.source_bytes,
        "aborted_plays": counts.aborted_plays,
        "first_byte_micros": counts.first_byte_micros,
        "first_bytes": counts.first_bytes,
    })
}
