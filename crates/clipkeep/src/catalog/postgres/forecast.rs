//! Looking ahead.

use async_trait::async_trait;
use clipkeep_core::{generation::Clip, time::Timestamp};
use tokio_postgres::Row;

use super::{
    super::{
        Result,
        forecast::{PendingCounts, QueueForecast},
        page,
        row::{self, select_clips},
    },
    PostgresCatalog,
    find::{all, first},
    pool::on,
};

const PENDING_COUNTS: &str = "SELECT (SELECT sum(n)::bigint FROM (SELECT count(*) AS n FROM clips WHERE queued AND queue_at <= $1 \
    UNION ALL SELECT count(*) AS n FROM clips \
    WHERE queue_at IS NOT NULL AND NOT queued AND policy <> 'deferred' AND queue_at <= $1 \
    UNION ALL SELECT count(*) AS n FROM clips \
    WHERE queue_at IS NOT NULL AND NOT queued AND policy = 'deferred' AND queue_at <= $1) AS each) AS due, \
    (SELECT count(*) FROM generations WHERE poll_at <= $1) AS polls";

const MOST_URGENT: &str = select_clips!(
    "WHERE c.key IN (SELECT key FROM (SELECT key, source_expires_at, due_at FROM clips WHERE queued AND queue_at <= $1 \
    UNION ALL SELECT key, source_expires_at, due_at FROM clips \
    WHERE queue_at IS NOT NULL AND NOT queued AND policy <> 'deferred' AND queue_at <= $1 \
    UNION ALL SELECT key, source_expires_at, due_at FROM clips \
    WHERE queue_at IS NOT NULL AND NOT queued AND policy = 'deferred' AND queue_at <= $1) AS each \
    ORDER BY source_expires_at IS NULL, source_expires_at, due_at, key LIMIT $2) \
    ORDER BY c.source_expires_at IS NULL, c.source_expires_at, c.due_at, c.key"
);

fn read(row: &Row) -> Result<PendingCounts> {
    let count = |column| row.try_get::<_, i64>(column).map(i64::cast_unsigned);
    Ok(PendingCounts { due: count("due")?, polls: count("polls")? })
}

#[async_trait]
impl QueueForecast for PostgresCatalog {
    async fn pending_counts(&self, now: Timestamp) -> Result<PendingCounts> {
        let count = async |client| first(&client, PENDING_COUNTS, &[&now.millis()], read).await;
        Ok(on(&self.pool, "counting what is due", count).await?.unwrap_or_default())
    }

    async fn most_urgent(&self, now: Timestamp, limit: u32) -> Result<Vec<Clip>> {
        let limit = i64::from(page::size(limit));
        let list = async |client| all(&client, MOST_URGENT, &[&now.millis(), &limit], row::clip).await;
        on(&self.pool, "listing what is due", list).await
    }
}
