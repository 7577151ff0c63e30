//! Records that are too old.

use async_trait::async_trait;
use clipkeep_core::{id::ClipKey, time::Timestamp};
use rusqlite::{Connection, Row};
use serde_json::json;

use super::{
    super::{
        Expiry, ForgottenHistory, Result,
        expiry::{COUNTS, IS_DAY, LASTING},
    },
    SqliteCatalog,
    find::{all, first},
};

fn forget_events(tx: &Connection, before: Timestamp, endpoints: &str, limit: u32) -> Result<u64> {
    const OLDEST: &str = "DELETE FROM events WHERE id IN (SELECT e.id FROM \
        (SELECT id, at FROM events ORDER BY id LIMIT ?3) e WHERE e.at < ?1 AND e.id < (SELECT max(id) FROM events) \
        AND NOT EXISTS (SELECT 1 FROM endpoints p WHERE p.endpoint IN (SELECT value FROM json_each(?2)) AND p.id < e.id) \
        AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.id = e.id AND d.status = 'waiting')) RETURNING id";
    const PARKED: &str = "DELETE FROM deliveries WHERE status = 'parked' \
        AND id IN (SELECT value FROM json_each(?1))";
    let gone = all(tx, OLDEST, (before.millis(), endpoints, limit), |row| Ok(row.get::<_, i64>(0)?))?;
    if !gone.is_empty() {
        tx.prepare_cached(PARKED)?.execute([json!(gone).to_string()])?;
    }
    Ok(gone.len() as u64)
}

fn forget_history(tx: &Connection, after: &str, before: Timestamp, clips: u32) -> Result<ForgottenHistory> {
    const PAGE: &str = "SELECT max(key) AS key, count(*) AS clips FROM \
        (SELECT key FROM clips WHERE key > ?1 ORDER BY key LIMIT ?2)";
    let read = |row: &Row<'_>| Ok((row.get::<_, Option<String>>(0)?, row.get::<_, u32>(1)?));
    let Some((Some(last), count)) = first(tx, PAGE, (after, clips), read)? else {
        return Ok(ForgottenHistory::default());
    };
    let forget = format!(
        "DELETE FROM history WHERE key > ?1 AND key <= ?2 AND at < ?3 AND event NOT IN ({LASTING}) \
         AND key IN (SELECT key FROM clips WHERE key > ?1 AND key <= ?2 AND state NOT IN ('waiting', 'filling'))"
    );
    let lines = tx.prepare_cached(&forget)?.execute((after, &last, before.millis()))? as u64;
    let last = if count == clips { last.parse().ok() } else { None };
    Ok(ForgottenHistory { lines, last })
}

fn roll_up_usage(tx: &Connection, hour: Timestamp, limit: u32) -> Result<u64> {
    let names = COUNTS.join(", ");
    let sums = COUNTS.map(|name| format!("{name} = {name} + excluded.{name}")).join(", ");
    let add = format!(
        "INSERT INTO usage (hour, key, tenant, {names}) SELECT ?1, key, tenant, {names} FROM usage \
         WHERE hour = ?2 ORDER BY key, tenant LIMIT ?3 ON CONFLICT (hour, key, tenant) DO UPDATE SET {sums}"
    );
    const REMOVE: &str = "DELETE FROM usage WHERE hour = ?1 AND (key, tenant) IN \
        (SELECT key, tenant FROM usage WHERE hour = ?1 ORDER BY key, tenant LIMIT ?2)";
    tx.prepare_cached(&add)?.execute((hour.day_start().millis(), hour.millis(), limit))?;
    Ok(tx.prepare_cached(REMOVE)?.execute((hour.millis(), limit))? as u64)
}

#[async_trait]
impl Expiry for SqliteCatalog {
    async fn forget_events(&self, before: Timestamp, endpoints: &[String], limit: u32) -> Result<u64> {
        let endpoints = json!(endpoints).to_string();
        let write = move |tx: &Connection| forget_events(tx, before, &endpoints, limit);
        self.writer.write("forgetting old events", write).await
    }

    async fn forget_history(&self, after: Option<&ClipKey>, before: Timestamp, clips: u32) -> Result<ForgottenHistory> {
        let after = after.map(|key| key.as_str().to_owned()).unwrap_or_default();
        let write = move |tx: &Connection| forget_history(tx, &after, before, clips);
        self.writer.write("forgetting old history", write).await
    }

    async fn next_usage_hour(&self, after: Option<Timestamp>) -> Result<Option<Timestamp>> {
        let sql = format!("SELECT hour FROM usage WHERE hour > ?1 AND NOT ({IS_DAY}) ORDER BY hour LIMIT 1");
        let after = after.map_or(i64::MIN, Timestamp::millis);
        let read = move |db: &Connection| first(db, &sql, [after], |row| Ok(Timestamp::from_millis(row.get(0)?)));
        self.readers.read("looking for old usage", read).await
    }

    async fn roll_up_usage(&self, hour: Timestamp, limit: u32) -> Result<u64> {
        self.writer.write("rolling usage up", move |tx| roll_up_usage(tx, hour, limit)).await
    }
}
