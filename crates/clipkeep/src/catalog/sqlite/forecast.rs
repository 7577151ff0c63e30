//! Looking ahead.

use async_trait::async_trait;
use clipkeep_core::{generation::Clip, time::Timestamp};
use rusqlite::Connection;

use super::{
    super::{
        Result,
        forecast::{PendingCounts, QueueForecast},
        page,
        row::{self, select_clips},
    },
    SqliteCatalog,
    find::all,
};

const PENDING_COUNTS: &str = "SELECT (SELECT sum(n) FROM (SELECT count(*) AS n FROM clips WHERE queued = 1 AND queue_at <= ?1 \
    UNION ALL SELECT count(*) AS n FROM clips \
    WHERE queue_at IS NOT NULL AND queued = 0 AND policy <> 'deferred' AND queue_at <= ?1 \
    UNION ALL SELECT count(*) AS n FROM clips \
    WHERE queue_at IS NOT NULL AND queued = 0 AND policy = 'deferred' AND queue_at <= ?1)) AS due, \
    (SELECT count(*) FROM generations WHERE poll_at <= ?1) AS polls";

const MOST_URGENT: &str = select_clips!(
    "WHERE c.key IN (SELECT key FROM (SELECT key, source_expires_at, due_at FROM clips WHERE queued = 1 AND queue_at <= ?1 \
    UNION ALL SELECT key, source_expires_at, due_at FROM clips \
    WHERE queue_at IS NOT NULL AND queued = 0 AND policy <> 'deferred' AND queue_at <= ?1 \
    UNION ALL SELECT key, source_expires_at, due_at FROM clips \
    WHERE queue_at IS NOT NULL AND queued = 0 AND policy = 'deferred' AND queue_at <= ?1) \
    ORDER BY source_expires_at IS NULL, source_expires_at, due_at, key LIMIT ?2) \
    ORDER BY c.source_expires_at IS NULL, c.source_expires_at, c.due_at, c.key"
);

fn pending_counts(db: &Connection, now: Timestamp) -> Result<PendingCounts> {
    Ok(db.prepare_cached(PENDING_COUNTS)?.query_row([now.millis()], |row| {
        let count = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
        Ok(PendingCounts { due: count("due")?, polls: count("polls")? })
    })?)
}

#[async_trait]
impl QueueForecast for SqliteCatalog {
    async fn pending_counts(&self, now: Timestamp) -> Result<PendingCounts> {
        self.readers.read("counting what is due", move |db| pending_counts(db, now)).await
    }

    async fn most_urgent(&self, now: Timestamp, limit: u32) -> Result<Vec<Clip>> {
        let list = move |db: &Connection| all(db, MOST_URGENT, (now.millis(), page::size(limit)), |row| row::clip(row));
        self.readers.read("listing what is due", list).await
    }
}
