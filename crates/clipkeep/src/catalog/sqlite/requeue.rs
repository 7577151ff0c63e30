//! The ways back from `lost` and `rejected`.

use async_trait::async_trait;
use clipkeep_core::{event::EventType, id::ClipKey, time::Timestamp};
use rusqlite::Connection;

use super::{
    super::{
        Requeue, Result,
        merge::{NewHistoryEntry, without_nul},
        page, row,
    },
    SqliteCatalog,
    find::{all, first},
    queue::emit_clip_event,
    record::append_history,
};

/// Finds the next origin.
pub const REFUSED_ORIGIN: &str = "SELECT min(refused) AS refused FROM clips WHERE refused IS NOT NULL AND refused > ?1";

/// Finds the clips of an origin.
pub const REFUSED: &str = "SELECT key FROM clips WHERE refused = ?1 ORDER BY key LIMIT ?2";

fn requeue(tx: &Connection, key: &ClipKey, at: Timestamp, why: &str, vanished: bool) -> Result<bool> {
    const STATE: &str =
        "SELECT state FROM clips WHERE key = ?1 AND state IN ('lost', 'rejected') AND (?2 OR vanished = 0)";
    const SQL: &str = "UPDATE clips SET state = 'waiting', due_at = ?2, queue_at = ?2, queued = 0, epoch = epoch + 1, \
        fence = fence + 1, attempts = 0, misses = 0, vanished = 0, reached = 0, refused = NULL, returned = 0, \
        at_risk_reported = 0, restarted_at = ?2, size = NULL, sha256 = NULL, sealed_kind = NULL, \
        sealed_content_type = NULL, duration = NULL, width = NULL, height = NULL, fps = NULL, codec = NULL, c2pa = NULL, served_type = NULL, \
        view = NULL, version = NULL WHERE key = ?1";
    let was = first(tx, STATE, (key.as_str(), vanished), |row| Ok(row.get::<_, String>(0)?))?;
    let Some(was) = was else { return Ok(false) };
    tx.prepare_cached(SQL)?.execute((key.as_str(), at.millis()))?;
    emit_clip_event(tx, key, at, EventType::ClipRevised, None)?;
    let detail = Some(without_nul(&format!("was {was}; {why}")));
    append_history(tx, &NewHistoryEntry { key: key.clone(), at, event: "requeued", detail })?;
    Ok(true)
}

#[async_trait]
impl Requeue for SqliteCatalog {
    async fn requeue(&self, keys: &[ClipKey], at: Timestamp, why: &str, vanished: bool) -> Result<Vec<ClipKey>> {
        let (keys, why) = (keys.to_vec(), why.to_owned());
        let write = move |tx: &Connection| {
            let mut back = Vec::new();
            for key in &keys {
                if requeue(tx, key, at, &why, vanished)? {
                    back.push(key.clone());
                }
            }
            Ok(back)
        };
        self.writer.write("bringing clips back", write).await
    }

    async fn refused_origin(&self, after: &str) -> Result<Option<String>> {
        let after = after.to_owned();
        let look = move |db: &Connection| {
            Ok(db.prepare_cached(REFUSED_ORIGIN)?.query_row([after], |row| row.get("refused"))?)
        };
        self.readers.read("looking for refused origins", look).await
    }

    async fn refused(&self, origin: &str, limit: u32) -> Result<Vec<ClipKey>> {
        let origin = origin.to_owned();
        let look = move |db: &Connection| all(db, REFUSED, (origin, page::size(limit)), |row| row::key(row));
        self.readers.read("listing refused clips", look).await
    }
}
