//! Deletion, retention, drift, verification.

use async_trait::async_trait;
use clipkeep_core::{event::EventType, id::ClipKey, state::ClipState, time::Timestamp};
use rusqlite::{Connection, OptionalExtension as _};

use super::{
    super::{
        AgedClip, Cursor, Deletion, Maintenance, Result, StoredObject,
        merge::{NewHistoryEntry, without_nul},
        page, row,
    },
    SqliteCatalog,
    find::{all, first},
    queue::emit_clip_event,
    record::append_history,
    search,
    sharing::look_after,
    storage_periods,
};

/// What a row says of its object; the rest of a statement follows.
macro_rules! select_objects {
    ($tail:literal) => {
        concat!(
            "SELECT key, epoch, size, sha256, stored_at, verified_at, source_url, object_key, \
             (SELECT o.state FROM clips o WHERE o.key = clips.object_key) AS owner_state FROM clips ",
            $tail
        )
    };
}

/// Reads stored rows by key. The plus keeps SQLite from the index of states,
/// from which it would have to sort.
pub const STORED_OBJECTS: &str = select_objects!("WHERE +state = 'stored' AND key > ?1 ORDER BY key LIMIT ?2");

/// Reads the oldest rows that are not open.
pub const AGED: &str = "SELECT key, created_at, model, tenant FROM clips \
    WHERE state = 'stored' AND created_at < ?1 AND (created_at, key) > (?2, ?3) UNION ALL \
    SELECT key, created_at, model, tenant FROM clips \
    WHERE state = 'lost' AND created_at < ?1 AND (created_at, key) > (?2, ?3) UNION ALL \
    SELECT key, created_at, model, tenant FROM clips \
    WHERE state = 'rejected' AND created_at < ?1 AND (created_at, key) > (?2, ?3) \
    ORDER BY created_at, key LIMIT ?4";

/// Finds what is to be verified. Left to itself SQLite would sort.
pub const UNVERIFIED: &str = select_objects!(
    "INDEXED BY clips_verified \
    WHERE state = 'stored' AND verified_at < ?1 AND (verified_at, key) > (?2, ?3) ORDER BY verified_at, key LIMIT ?4"
);

/// Finds tombstones whose objects are to be removed.
pub const TOMBSTONES: &str =
    "SELECT key FROM clips WHERE remove_at IS NOT NULL AND remove_at <= ?1 ORDER BY remove_at, key LIMIT ?2";

fn delete(tx: &Connection, key: &ClipKey, at: Timestamp, remove_at: Timestamp, why: &str) -> Result<Deletion> {
    const SQL: &str = "UPDATE clips SET state = 'deleted', due_at = NULL, queue_at = NULL, queued = 0, \
        lease_node = NULL, lease_until = NULL, fence = fence + 1, remove_at = ?2, deleted_at = ?3, \
        unshare_at = NULL, refused = NULL \
        WHERE key = ?1 AND state <> 'deleted' RETURNING coalesce(object_key, key)";
    const KNOWN: &str = "SELECT 1 FROM clips WHERE key = ?1";
    let params = (key.as_str(), remove_at.millis(), at.millis());
    let Some(object) = first(tx, SQL, params, |row| Ok(row.get::<_, String>(0)?))? else {
        let known = first(tx, KNOWN, [key.as_str()], |_| Ok(()))?;
        return Ok(known.map_or(Deletion::Unknown, |()| Deletion::Already));
    };
    storage_periods::hand_over(tx, key, &object, at)?;
    search::forget(tx, key)?;
    let why = without_nul(why);
    emit_clip_event(tx, key, at, EventType::ClipDeleted, Some(&why))?;
    append_history(tx, &NewHistoryEntry { key: key.clone(), at, event: "deleted", detail: Some(why) })?;
    Ok(Deletion::Deleted)
}

fn removed(tx: &Connection, key: &ClipKey, at: Timestamp) -> Result<()> {
    const SQL: &str = "UPDATE clips SET remove_at = NULL WHERE key = ?1 AND remove_at <= ?2 \
        RETURNING EXISTS (SELECT 1 FROM clips r WHERE r.state = 'stored' \
        AND r.object_key = coalesce(clips.object_key, clips.key)) \
        OR EXISTS (SELECT 1 FROM clips r WHERE r.state = 'stored' AND r.key = clips.object_key)";
    let spared: Option<bool> = first(tx, SQL, (key.as_str(), at.millis()), |row| Ok(row.get(0)?))?;
    let Some(spared) = spared else { return Ok(()) };
    let event = if spared { "spared" } else { "removed" };
    append_history(tx, &NewHistoryEntry { key: key.clone(), at, event, detail: None })
}

fn not_removed(tx: &Connection, key: &ClipKey, at: Timestamp) -> Result<bool> {
    const SQL: &str = "UPDATE clips SET remove_at = ?2 + min(60000 << min(stayed, 11), 86400000), stayed = stayed + 1 \
        WHERE key = ?1 AND remove_at <= ?2 RETURNING stayed = 1";
    let is_first = first(tx, SQL, (key.as_str(), at.millis()), |row| Ok(row.get::<_, bool>(0)?))?.unwrap_or_default();
    if is_first {
        append_history(tx, &NewHistoryEntry { key: key.clone(), at, event: "not_removed", detail: None })?;
    }
    Ok(is_first)
}

fn object_lost(tx: &Connection, key: &ClipKey, epoch: i64, at: Timestamp, due: Timestamp, why: &str) -> Result<bool> {
    const OBJECT: &str =
        "SELECT coalesce(object_key, key) FROM clips WHERE key = ?1 AND epoch = ?2 AND state = 'stored'";
    const OF_IT: &str = "SELECT key FROM clips WHERE key = ?1 AND object_key IS NULL AND state = 'stored' \
        UNION ALL SELECT key FROM clips WHERE object_key = ?1 AND state = 'stored'";
    const SQL: &str = "UPDATE clips SET state = 'waiting', due_at = ?4, queue_at = ?4, queued = 0, epoch = epoch + 1, \
        attempts = 0, misses = 0, at_risk_reported = 0, last_error = ?3, restarted_at = ?2, stored_at = NULL, verified_at = 0, \
        adopted = 0, vanished = 0, reached = 0, was_sha256 = sha256, was_duration = coalesce(was_duration, duration), object_key = NULL, unshare_at = NULL, \
        size = NULL, sha256 = NULL, sealed_kind = NULL, sealed_content_type = NULL, duration = NULL, width = NULL, \
        height = NULL, fps = NULL, codec = NULL, c2pa = NULL, served_type = NULL, view = NULL, version = NULL WHERE key = ?1";
    let Some(object) = first(tx, OBJECT, (key.as_str(), epoch), |row| Ok(row.get::<_, String>(0)?))? else {
        return Ok(false);
    };
    let why = without_nul(why);
    for key in all(tx, OF_IT, [&object], |row| row::key(row))? {
        tx.prepare_cached(SQL)?.execute((key.as_str(), at.millis(), &why, due.millis()))?;
        storage_periods::close(tx, &key, at)?;
        emit_clip_event(tx, &key, at, EventType::ClipRevised, None)?;
        append_history(tx, &NewHistoryEntry { key, at, event: "object_lost", detail: Some(why.clone()) })?;
    }
    look_after(tx, &object, at)?;
    Ok(true)
}

fn damaged(tx: &Connection, key: &ClipKey, epoch: i64, at: Timestamp, what: &str) -> Result<()> {
    const SQL: &str = "SELECT 1 FROM clips c WHERE key = ?1 AND epoch = ?2 AND state = 'stored' \
        AND NOT EXISTS (SELECT 1 FROM (SELECT at, event, detail FROM history WHERE key = ?1 ORDER BY id DESC LIMIT 1) l \
        WHERE l.event = 'damaged' AND l.detail = ?3 AND l.at >= c.verified_at)";
    let what = without_nul(what);
    match first(tx, SQL, (key.as_str(), epoch, &what), |_| Ok(()))? {
        Some(()) => {
            emit_clip_event(tx, key, at, EventType::ClipRevised, None)?;
            append_history(tx, &NewHistoryEntry { key: key.clone(), at, event: "damaged", detail: Some(what) })
        }
        None => Ok(()),
    }
}

fn states(db: &Connection, keys: &[ClipKey]) -> Result<Vec<(ClipKey, ClipState)>> {
    const SQL: &str = "SELECT key, state FROM clips WHERE key = ?1";
    let found = keys.iter().map(|key| first(db, SQL, [key.as_str()], |row| row::state(row)));
    found.filter_map(Result::transpose).collect()
}

fn count(db: &Connection, sql: &str, value: i64) -> Result<u64> {
    let count: i64 = db.prepare_cached(sql)?.query_row([value], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or_default())
}

fn begin_run(tx: &Connection, name: &str, now: Timestamp) -> Result<Timestamp> {
    const BEGIN: &str = "INSERT INTO runs (name, began_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    const BEGAN: &str = "SELECT began_at FROM runs WHERE name = ?1";
    tx.prepare_cached(BEGIN)?.execute((name, now.millis()))?;
    let began: Option<i64> = tx.prepare_cached(BEGAN)?.query_row([name], |row| row.get(0)).optional()?;
    Ok(began.map_or(now, Timestamp::from_millis))
}

#[async_trait]
impl Maintenance for SqliteCatalog {
    async fn identity(&self) -> Result<String> {
        let read = |db: &Connection| Ok(db.query_row("SELECT id FROM identity", (), |row| row.get(0))?);
        self.readers.read("reading the catalogue's id", read).await
    }

    async fn delete(&self, key: &ClipKey, at: Timestamp, remove_at: Timestamp, why: &str) -> Result<Deletion> {
        let (key, why) = (key.clone(), why.to_owned());
        self.writer.write("deleting a clip", move |tx| delete(tx, &key, at, remove_at, &why)).await
    }

    async fn tombstones(&self, now: Timestamp, limit: u32) -> Result<Vec<ClipKey>> {
        let read = move |db: &Connection| all(db, TOMBSTONES, (now.millis(), page::size(limit)), |row| row::key(row));
        self.readers.read("looking for tombstones", read).await
    }

    async fn count_tombstones(&self, now: Timestamp) -> Result<u64> {
        const SQL: &str = "SELECT count(*) FROM clips WHERE remove_at IS NOT NULL AND remove_at <= ?1";
        self.readers.read("counting tombstones", move |db| count(db, SQL, now.millis())).await
    }

    async fn removed(&self, key: &ClipKey, at: Timestamp) -> Result<()> {
        let key = key.clone();
        self.writer.write("closing a tombstone", move |tx| removed(tx, &key, at)).await
    }

    async fn not_removed(&self, key: &ClipKey, at: Timestamp) -> Result<bool> {
        let key = key.clone();
        self.writer.write("putting a removal off", move |tx| not_removed(tx, &key, at)).await
    }

    async fn stored_objects(&self, after: Option<&ClipKey>, limit: u32) -> Result<Vec<StoredObject>> {
        let after = after.map(|key| key.as_str().to_owned()).unwrap_or_default();
        let read = move |db: &Connection| all(db, STORED_OBJECTS, (after, page::size(limit)), |row| row::object(row));
        self.readers.read("listing stored clips", read).await
    }

    async fn stored_object(&self, key: &ClipKey) -> Result<Option<StoredObject>> {
        const SQL: &str = select_objects!("WHERE key = ?1 AND state = 'stored'");
        let key = key.clone();
        let read = move |db: &Connection| first(db, SQL, [key.as_str()], |row| row::object(row));
        self.readers.read("finding a stored clip", read).await
    }

    async fn aged(&self, after: Option<&Cursor>, before: Timestamp, limit: u32) -> Result<Vec<AgedClip>> {
        let (since, key) = after.map_or((i64::MIN, String::new()), |at| (at.created_at.millis(), at.key.to_string()));
        let params = (before.millis(), since, key, page::size(limit));
        let read = move |db: &Connection| all(db, AGED, params, |row| row::aged(row));
        self.readers.read("looking for old clips", read).await
    }

    async fn states(&self, keys: &[ClipKey]) -> Result<Vec<(ClipKey, ClipState)>> {
        let keys = keys.to_vec();
        self.readers.read("looking up clips", move |db| states(db, &keys)).await
    }

    async fn object_lost(&self, key: &ClipKey, epoch: i64, at: Timestamp, due: Timestamp, why: &str) -> Result<bool> {
        let (key, why) = (key.clone(), why.to_owned());
        self.writer.write("starting a clip over", move |tx| object_lost(tx, &key, epoch, at, due, &why)).await
    }

    async fn leases_run_out(&self, now: Timestamp) -> Result<u64> {
        const SQL: &str = "SELECT count(*) FROM clips WHERE state = 'filling' AND lease_until <= ?1";
        self.readers.read("counting leases", move |db| count(db, SQL, now.millis())).await
    }

    async fn begin_run(&self, name: &str, now: Timestamp) -> Result<Timestamp> {
        let name = name.to_owned();
        self.writer.write("beginning a run", move |tx| begin_run(tx, &name, now)).await
    }

    async fn end_run(&self, name: &str) -> Result<()> {
        const SQL: &str = "DELETE FROM runs WHERE name = ?1";
        let name = name.to_owned();
        self.writer.write("ending a run", move |tx| Ok(tx.execute(SQL, [name]).map(|_| ())?)).await
    }

    async fn unverified(
        &self,
        since: Timestamp,
        after: Option<&(Timestamp, ClipKey)>,
        limit: u32,
    ) -> Result<Vec<StoredObject>> {
        let (at, key) = after.map_or((i64::MIN, String::new()), |(at, key)| (at.millis(), key.to_string()));
        let params = (since.millis(), at, key, page::size(limit));
        let read = move |db: &Connection| all(db, UNVERIFIED, params, |row| row::object(row));
        self.readers.read("looking for clips to verify", read).await
    }

    async fn count_unverified(&self, since: Timestamp) -> Result<u64> {
        const SQL: &str = "SELECT count(*) FROM clips WHERE state = 'stored' AND verified_at < ?1";
        self.readers.read("counting clips to verify", move |db| count(db, SQL, since.millis())).await
    }

    async fn sample(&self, many: u32) -> Result<Vec<ClipKey>> {
        const SQL: &str = "SELECT key FROM clips WHERE state = 'stored' ORDER BY random() LIMIT ?1";
        self.readers.read("sampling clips", move |db| all(db, SQL, [many], |row| row::key(row))).await
    }

    async fn verified(&self, key: &ClipKey, epoch: i64, at: Timestamp) -> Result<()> {
        const SQL: &str = "UPDATE clips SET verified_at = ?3 WHERE key = ?1 AND epoch = ?2 AND state = 'stored'";
        let key = key.clone();
        let write = move |tx: &Connection| {
            tx.prepare_cached(SQL)?.execute((key.as_str(), epoch, at.millis()))?;
            Ok(())
        };
        // Lost with the power, it is verified again.
        self.writer.write_unsynced("marking a clip verified", write).await
    }

    async fn is_damaged(&self, key: &ClipKey, epoch: i64) -> Result<bool> {
        const SQL: &str = "SELECT 1 FROM clips c WHERE key = ?1 AND epoch = ?2 AND state = 'stored' \
        AND EXISTS (SELECT 1 FROM history h WHERE h.key = c.key AND h.event = 'damaged' \
        AND h.at >= c.verified_at AND h.at >= c.stored_at)";
        let key = key.clone();
        let look = move |db: &Connection| Ok(first(db, SQL, (key.as_str(), epoch), |_| Ok(()))?.is_some());
        self.readers.read("looking for damage", look).await
    }

    async fn damaged(&self, key: &ClipKey, epoch: i64, at: Timestamp, what: &str) -> Result<()> {
        let (key, what) = (key.clone(), what.to_owned());
        self.writer.write("noting damage", move |tx| damaged(tx, &key, epoch, at, &what)).await
    }
}
