//! The ways back from `lost` and `rejected`.

use async_trait::async_trait;
use clipkeep_core::{id::ClipKey, time::Timestamp};
use tokio_postgres::types::ToSql;

use super::{
    super::{Requeue, Result, merge::without_nul, page, row},
    PostgresCatalog,
    find::{all, first},
    pool::on,
};

/// Finds the next origin.
pub const REFUSED_ORIGIN: &str = "SELECT min(refused) AS refused FROM clips WHERE refused IS NOT NULL AND refused > $1";

/// Finds the clips of an origin.
pub const REFUSED: &str = "SELECT key FROM clips WHERE refused = $1 ORDER BY key LIMIT $2";

const REQUEUE: &str = "WITH these AS (SELECT key, state FROM clips WHERE key = ANY($1::text[]) \
    AND state IN ('lost', 'rejected') AND ($4 OR vanished = 0) ORDER BY key FOR NO KEY UPDATE), \
    again AS (UPDATE clips c SET state = 'waiting', due_at = $2, queue_at = $2, queued = FALSE, epoch = c.epoch + 1, \
    fence = c.fence + 1, attempts = 0, misses = 0, vanished = 0, reached = 0, refused = NULL, returned = 0, \
    at_risk_reported = FALSE, restarted_at = $2, size = NULL, sha256 = NULL, sealed_kind = NULL, \
    sealed_content_type = NULL, duration = NULL, width = NULL, height = NULL, fps = NULL, codec = NULL, c2pa = NULL, served_type = NULL, view = NULL, \
    version = NULL FROM these WHERE c.key = these.key RETURNING c.key, c.provider, c.request_id, these.state AS was), \
    announced AS (INSERT INTO events (at, type, provider, request_id, key) \
    SELECT $2, 'clip.revised', provider, request_id, key FROM again), \
    logged AS (INSERT INTO history (key, at, event, detail) \
    SELECT key, $2, 'requeued', 'was ' || was || '; ' || $3::text FROM again) SELECT key FROM again ORDER BY key";

#[async_trait]
impl Requeue for PostgresCatalog {
    async fn requeue(&self, keys: &[ClipKey], at: Timestamp, why: &str, vanished: bool) -> Result<Vec<ClipKey>> {
        let keys: Vec<&str> = keys.iter().map(ClipKey::as_str).collect();
        let (at, why) = (at.millis(), without_nul(why));
        let params: &[&(dyn ToSql + Sync)] = &[&keys, &at, &why, &vanished];
        on(&self.pool, "bringing clips back", async |client| all(&client, REQUEUE, params, row::key).await).await
    }

    async fn refused_origin(&self, after: &str) -> Result<Option<String>> {
        let refused = |row: &tokio_postgres::Row| Ok(row.try_get::<_, Option<String>>("refused")?);
        let look = async |client| first(&client, REFUSED_ORIGIN, &[&after], refused).await;
        Ok(on(&self.pool, "looking for refused origins", look).await?.flatten())
    }

    async fn refused(&self, origin: &str, limit: u32) -> Result<Vec<ClipKey>> {
        let limit = i64::from(page::size(limit));
        let look = async |client| all(&client, REFUSED, &[&origin, &limit], row::key).await;
        on(&self.pool, "listing refused clips", look).await
    }
}
