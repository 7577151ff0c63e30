//! A clip's other name: its row's, and that of all that is known of it.

use clipkeep_core::{event::EventType, id::ClipKey, time::Timestamp};
use rusqlite::{Connection, params};

use super::{
    super::{CatalogError, Lease, Result, merge::NewHistoryEntry, row},
    find::first,
    record::append_history,
    search,
};

/// What goes by a clip's name: `?1` becomes `?2`. That name is free, so what is
/// counted under it is nobody's.
const MOVES: [&str; 8] = [
    "UPDATE history SET key = ?2 WHERE key = ?1",
    "UPDATE events SET key = ?2 WHERE key = ?1",
    "UPDATE deliveries SET subject = ?2 WHERE endpoint IN (SELECT endpoint FROM endpoints) AND subject = ?1 \
     AND status = 'waiting'",
    "UPDATE storage_periods SET key = ?2 WHERE key = ?1",
    "INSERT INTO parents (provider, request_id, parent) SELECT provider, request_id, ?2 FROM parents \
     WHERE parent = ?1 ON CONFLICT DO NOTHING",
    "DELETE FROM parents WHERE parent = ?1 AND parent <> ?2",
    "DELETE FROM usage WHERE key = ?2 AND key <> ?1",
    "UPDATE usage SET key = ?2 WHERE key = ?1",
];

/// Renames a clip under its lease. Who does not hear that it did may ask again.
pub(super) fn rename(tx: &Connection, lease: &Lease, to: &ClipKey, at: Timestamp) -> Result<bool> {
    const ROW: &str = "UPDATE clips SET key = ?2, was_key = nullif(ifnull(was_key, key), ?2) \
        WHERE key = ?1 AND fence = ?3 AND state = 'filling' \
        AND NOT EXISTS (SELECT 1 FROM clips WHERE (key = ?2 OR was_key = ?2) AND key <> ?1)";
    const HELD: &str = "SELECT key FROM clips WHERE fence = ?3 AND state = 'filling' \
        AND (key = ?1 OR (key = ?2 AND NOT EXISTS (SELECT 1 FROM clips WHERE key = ?1)))";
    // Whoever serves it under its old name shall look again.
    const NOTICE: &str = "INSERT INTO events (at, type, provider, request_id, key) \
        SELECT ?3, ?4, provider, request_id, ?1 FROM clips WHERE key = ?2";
    let (was, key, to) = (lease.key.as_str(), to, to.as_str());
    if tx.prepare_cached(ROW)?.execute((was, to, lease.fence))? == 0 {
        let held = first(tx, HELD, (was, to, lease.fence), |row| row::key(row))?;
        return held.map(|held| held == *key).ok_or_else(|| CatalogError::LeaseLost { key: lease.key.clone() });
    }
    for sql in MOVES {
        tx.prepare_cached(sql)?.execute((was, to))?;
    }
    search::rename(tx, was, to)?;
    tx.prepare_cached(NOTICE)?.execute(params![was, to, at.millis(), EventType::ClipRevised.as_str()])?;
    let detail = Some(format!("was {was}"));
    append_history(tx, &NewHistoryEntry { key: key.clone(), at, event: "renamed", detail })?;
    Ok(true)
}
