//! Who pays for which bytes, from when until when. An object has one open period
//! while a stored clip refers to it: of the clip that stored it first, and when
//! that is gone, of the next one by the time it joined.

use clipkeep_core::{id::ClipKey, time::Timestamp};
use rusqlite::Connection;

use super::{super::Result, find::first};

/// The clip's bytes are an object of its own from now on.
pub(super) fn open(tx: &Connection, key: &ClipKey, at: Timestamp) -> Result<()> {
    const SQL: &str = "INSERT INTO storage_periods (key, tenant, size, from_at) SELECT key, coalesce(tenant, ''), size, ?2 \
        FROM clips WHERE key = ?1 AND size IS NOT NULL ON CONFLICT DO NOTHING";
    tx.prepare_cached(SQL)?.execute((key.as_str(), at.millis()))?;
    Ok(())
}

/// The clip pays no more; answers whether it did.
pub(super) fn close(tx: &Connection, key: &ClipKey, at: Timestamp) -> Result<bool> {
    // A clock that was set back makes no period negative.
    const SQL: &str = "UPDATE storage_periods SET to_at = max(from_at, ?2) WHERE key = ?1 AND to_at IS NULL";
    Ok(tx.prepare_cached(SQL)?.execute((key.as_str(), at.millis()))? > 0)
}

/// The clip refers to `object` no more. If it paid, the next one does.
pub(super) fn hand_over(tx: &Connection, key: &ClipKey, object: &str, at: Timestamp) -> Result<()> {
    const NEXT: &str = "INSERT INTO storage_periods (key, tenant, size, from_at) SELECT key, coalesce(tenant, ''), size, ?3 \
        FROM (SELECT key, tenant, size, stored_at FROM clips WHERE object_key = ?2 AND state = 'stored' UNION ALL \
        SELECT key, tenant, size, stored_at FROM clips WHERE key = ?2 AND object_key IS NULL AND state = 'stored') \
        WHERE key <> ?1 ORDER BY stored_at, key LIMIT 1 ON CONFLICT DO NOTHING";
    if close(tx, key, at)? {
        tx.prepare_cached(NEXT)?.execute((key.as_str(), object, at.millis()))?;
    }
    Ok(())
}

/// Whose this clip is, or which model made it, became known.
pub(super) fn retag(tx: &Connection, key: &ClipKey, at: Timestamp) -> Result<()> {
    const MODEL: &str = "UPDATE clips SET model_at = ?2, \
        duration_at = CASE WHEN state = 'stored' AND duration IS NOT NULL OR was_duration IS NOT NULL THEN ?2 END \
        WHERE key = ?1 AND model IS NOT NULL AND model_at IS NULL";
    const MOVED: &str = "SELECT 1 FROM storage_periods s JOIN clips c ON c.key = s.key \
        WHERE s.key = ?1 AND s.to_at IS NULL AND s.tenant <> coalesce(c.tenant, '')";
    tx.prepare_cached(MODEL)?.execute((key.as_str(), at.millis()))?;
    if first(tx, MOVED, [key.as_str()], |_| Ok(()))?.is_some() {
        close(tx, key, at)?;
        open(tx, key, at)?;
    }
    Ok(())
}
