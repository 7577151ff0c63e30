//! Who pays for which bytes, from when until when. An object has one open period
//! while a stored clip refers to it: of the clip that stored it first, and when
//! that is gone, of the next one by the time it joined. Whoever leaves an object
//! has locked the row whose key names it: the next one does not leave meanwhile.

use clipkeep_core::{id::ClipKey, time::Timestamp};
use deadpool_postgres::GenericClient;
use tokio_postgres::types::ToSql;

use super::super::Result;

async fn execute(tx: &impl GenericClient, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64> {
    let statement = tx.prepare_cached(sql).await?;
    Ok(tx.execute(&statement, params).await?)
}

/// The clip's bytes are an object of its own from now on. (`queue::end` begins
/// those of a clip that becomes `stored`.)
pub(super) async fn open(tx: &impl GenericClient, key: &str, at: Timestamp) -> Result<()> {
    const SQL: &str = "INSERT INTO storage_periods (key, tenant, size, from_at) SELECT key, coalesce(tenant, ''), size, $2 \
        FROM clips WHERE key = $1 AND size IS NOT NULL ON CONFLICT DO NOTHING";
    execute(tx, SQL, &[&key, &at.millis()]).await.map(drop)
}

/// The clip refers to `object` no more. If it paid, the next one does.
pub(super) async fn hand_over(tx: &impl GenericClient, key: &str, object: &str, at: Timestamp) -> Result<()> {
    // A clock that was set back makes no period negative.
    const END: &str = "UPDATE storage_periods SET to_at = greatest(from_at, $2) WHERE key = $1 AND to_at IS NULL";
    const NEXT: &str = "INSERT INTO storage_periods (key, tenant, size, from_at) SELECT key, coalesce(tenant, ''), size, $3 \
        FROM (SELECT key, tenant, size, stored_at FROM clips WHERE object_key = $2 AND state = 'stored' UNION ALL \
        SELECT key, tenant, size, stored_at FROM clips WHERE key = $2 AND object_key IS NULL AND state = 'stored') m \
        WHERE key <> $1 ORDER BY stored_at, key LIMIT 1 ON CONFLICT DO NOTHING";
    if execute(tx, END, &[&key, &at.millis()]).await? > 0 {
        execute(tx, NEXT, &[&key, &object, &at.millis()]).await?;
    }
    Ok(())
}

/// Whose these clips are, or which model made them, became known.
pub(super) async fn retag(tx: &impl GenericClient, clips: &[(ClipKey, Timestamp)]) -> Result<()> {
    const MODEL: &str = "UPDATE clips SET model_at = $2::bigint, \
        duration_at = CASE WHEN state = 'stored' AND duration IS NOT NULL OR was_duration IS NOT NULL THEN $2::bigint END \
        WHERE key = ANY($1::text[]) AND model IS NOT NULL AND model_at IS NULL";
    const END: &str = "UPDATE storage_periods s SET to_at = greatest(s.from_at, $2) FROM clips c WHERE s.key = ANY($1::text[]) \
        AND c.key = s.key AND s.to_at IS NULL AND s.tenant <> coalesce(c.tenant, '') RETURNING s.key";
    let Some((_, at)) = clips.last() else { return Ok(()) };
    let keys: Vec<&str> = clips.iter().map(|(key, _)| key.as_str()).collect();
    execute(tx, MODEL, &[&keys, &at.millis()]).await?;
    let moved = tx.prepare_cached(END).await?;
    for row in tx.query(&moved, &[&keys, &at.millis()]).await? {
        open(tx, row.try_get("key")?, *at).await?;
    }
    Ok(())
}
