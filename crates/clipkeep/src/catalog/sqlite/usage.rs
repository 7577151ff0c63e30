//! Usage.

use async_trait::async_trait;
use clipkeep_core::usage::UsageRow;
use rusqlite::{Connection, params_from_iter};

use super::{
    super::{
        OperationsRow, Result,
        usage::{self, BATCH_ID_TTL, UsageBatch, UsageBook, UsageFilter, UsageGroup, UsagePage},
    },
    SqliteCatalog,
    find::all,
};

/// Takes a batch's number, unless it was taken before.
const NEXT: &str = "INSERT INTO usage_batches (node, seq, at) VALUES (?1, ?2, ?3) \
    ON CONFLICT (node) DO UPDATE SET seq = excluded.seq, at = excluded.at WHERE usage_batches.seq < excluded.seq";

const FORGET: &str = "DELETE FROM usage_batches WHERE at < ?1";

/// What was counted under the name that a clip had before is its own.
const ADD: &str = "INSERT INTO usage (hour, key, tenant, plays, viewer_bytes, hits, cold_fetches, source_bytes, \
    aborted_plays, first_byte_micros, first_bytes) \
    VALUES (?1, ifnull((SELECT key FROM clips WHERE was_key = ?2 LIMIT 1), ?2), ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
    ON CONFLICT (hour, key, tenant) DO UPDATE SET plays = plays + excluded.plays, \
    viewer_bytes = viewer_bytes + excluded.viewer_bytes, hits = hits + excluded.hits, \
    cold_fetches = cold_fetches + excluded.cold_fetches, source_bytes = source_bytes + excluded.source_bytes, \
    aborted_plays = aborted_plays + excluded.aborted_plays, \
    first_byte_micros = first_byte_micros + excluded.first_byte_micros, \
    first_bytes = first_bytes + excluded.first_bytes";

const ADD_OPERATIONS: &str = "INSERT INTO operations (hour, writes, reads) VALUES (?1, ?2, ?3) \
    ON CONFLICT (hour) DO UPDATE SET writes = writes + excluded.writes, reads = reads + excluded.reads";

#[async_trait]
impl UsageBook for SqliteCatalog {
    async fn add_usage(&self, batch: &UsageBatch) -> Result<()> {
        let batch = batch.clone();
        self.writer.write("writing usage", move |tx| add(tx, &batch)).await
    }

    async fn usage(
        &self,
        filter: &UsageFilter,
        group: UsageGroup,
        after: Option<&str>,
        limit: u32,
    ) -> Result<UsagePage> {
        let list = usage::list(filter, group, after, limit, '?');
        let look = move |db: &Connection| all(db, &list.sql, params_from_iter(&list.values), |row| usage::line(row));
        Ok(usage::page(self.readers.read("adding usage up", look).await?, limit))
    }
}

fn add(tx: &Connection, batch: &UsageBatch) -> Result<()> {
    let is_next = tx.prepare_cached(NEXT)?.execute((&batch.node, batch.seq, batch.at.millis()))? == 1;
    if !is_next {
        return Ok(());
    }
    if batch.seq == 1 {
        tx.prepare_cached(FORGET)?.execute([batch.at.minus(BATCH_ID_TTL).millis()])?;
    }
    for OperationsRow { hour, writes, reads } in &batch.operations {
        let values = (hour.millis(), writes.cast_signed(), reads.cast_signed());
        tx.prepare_cached(ADD_OPERATIONS)?.execute(values)?;
    }
    let mut add = tx.prepare_cached(ADD)?;
    for UsageRow { hour, key, tenant, counts } in &batch.rows {
        add.execute((
            hour.millis(),
            key.as_str(),
            tenant.as_ref().map_or("", |tenant| tenant.as_str()),
            counts.plays.cast_signed(),
            counts.viewer_bytes.cast_signed(),
            counts.hits.cast_signed(),
            counts.cold_fetches.cast_signed(),
            counts.source_bytes.cast_signed(),
            counts.aborted_plays.cast_signed(),
            counts.first_byte_micros.cast_signed(),
            counts.first_bytes.cast_signed(),
        ))?;
    }
    Ok(())
}
