//! A clip's other name: its row's, and that of all that is known of it.

use clipkeep_core::{event::EventType, id::ClipKey, time::Timestamp};
use deadpool_postgres::Object;

use super::{
    super::{CatalogError, Lease, Result, row},
    find::first,
    search,
};

/// What goes by a clip's name: `$1` becomes `$2`. That name is free, so what is
/// counted under it is nobody's.
const MOVES: [&str; 9] = [
    "UPDATE history SET key = $2 WHERE key = $1",
    "UPDATE events SET key = $2 WHERE key = $1",
    "UPDATE deliveries SET subject = $2 WHERE endpoint = ANY(ARRAY(SELECT endpoint FROM endpoints)) AND subject = $1 \
     AND status = 'waiting'",
    "UPDATE storage_periods SET key = $2 WHERE key = $1",
    "INSERT INTO parents (provider, request_id, parent) SELECT provider, request_id, $2::text FROM parents \
     WHERE parent = $1 ON CONFLICT DO NOTHING",
    "DELETE FROM parents WHERE parent = $1 AND parent <> $2",
    "DELETE FROM usage WHERE key = $2 AND key <> $1",
    "UPDATE usage SET key = $2 WHERE key = $1",
    "UPDATE clip_words SET key = $2 WHERE key = $1",
];

/// Renames a clip under its lease. Who does not hear that it did may ask again.
pub(super) async fn rename(mut client: Object, lease: &Lease, to: &ClipKey, at: Timestamp) -> Result<bool> {
    const ROW: &str = "UPDATE clips SET key = $2, was_key = nullif(coalesce(was_key, key), $2) \
        WHERE key = $1 AND fence = $3 AND state = 'filling' \
        AND NOT EXISTS (SELECT 1 FROM clips o WHERE (o.key = $2 OR o.was_key = $2) AND o.key <> $1)";
    const HELD: &str = "SELECT key FROM clips WHERE fence = $3 AND state = 'filling' \
        AND (key = $1 OR (key = $2 AND NOT EXISTS (SELECT 1 FROM clips o WHERE o.key = $1)))";
    const LINE: &str = "INSERT INTO history (key, at, event, detail) VALUES ($1, $2, 'renamed', $3)";
    // Whoever serves it under its old name shall look again.
    const NOTICE: &str = "INSERT INTO events (at, type, provider, request_id, key) \
        SELECT $3::bigint, $4::text, provider, request_id, $1::text FROM clips WHERE key = $2";
    let (was, key, to, fence) = (lease.key.as_str(), to, to.as_str(), lease.fence);
    let tx = client.transaction().await?;
    // News of its generation is judged before this or after it.
    search::take_turn(&tx, &lease.key).await?;
    if tx.execute(&tx.prepare_cached(ROW).await?, &[&was, &to, &fence]).await? == 0 {
        let held = first(&tx, HELD, &[&was, &to, &fence], row::key).await?;
        return held.map(|held| held == *key).ok_or_else(|| CatalogError::LeaseLost { key: lease.key.clone() });
    }
    for sql in MOVES {
        tx.execute(&tx.prepare_cached(sql).await?, &[&was, &to]).await?;
    }
    let (at, kind) = (at.millis(), EventType::ClipRevised.as_str());
    tx.execute(&tx.prepare_cached(NOTICE).await?, &[&was, &to, &at, &kind]).await?;
    tx.execute(&tx.prepare_cached(LINE).await?, &[&to, &at, &format!("was {was}")]).await?;
    tx.commit().await?;
    Ok(true)
}
