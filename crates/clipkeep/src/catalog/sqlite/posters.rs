//! Posters.

use async_trait::async_trait;
use clipkeep_core::{id::ClipKey, time::Timestamp};
use rusqlite::Connection;

use super::{
    super::{Result, page, posters::Posters, row},
    SqliteCatalog,
    find::all,
};

/// Finds clips without a poster.
pub(super) const POSTERS_DUE: &str = "SELECT key FROM clips WHERE state = 'stored' AND poster_due IS NOT NULL \
    AND poster_due <= ?1 ORDER BY poster_due DESC LIMIT ?2";

fn take(tx: &Connection, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<ClipKey>> {
    const TAKE: &str = "UPDATE clips SET poster_due = ?2 WHERE key = ?1";
    let due = all(tx, POSTERS_DUE, (now.millis(), page::size(limit)), |row| row::key(row))?;
    for key in &due {
        tx.prepare_cached(TAKE)?.execute((key.as_str(), until.millis()))?;
    }
    Ok(due)
}

#[async_trait]
impl Posters for SqliteCatalog {
    async fn posters_due(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<ClipKey>> {
        // Most looks find nothing, and need not wait for the writer.
        let look = move |db: &Connection| all(db, POSTERS_DUE, (now.millis(), 1), |row| row::key(row));
        if self.readers.read("looking for clips without a poster", look).await?.is_empty() {
            return Ok(Vec::new());
        }
        let take = move |tx: &Connection| take(tx, now, until, limit);
        self.writer.write_unsynced("taking up clips without a poster", take).await
    }

    async fn poster_made(&self, key: &ClipKey, epoch: i64, thumbhash: Option<&str>) -> Result<bool> {
        const SQL: &str = "UPDATE clips SET poster_epoch = ?2, thumbhash = ?3, poster_due = NULL \
            WHERE key = ?1 AND epoch = ?2 AND state = 'stored'";
        let (key, thumbhash) = (key.clone(), thumbhash.map(str::to_owned));
        let note = move |tx: &Connection| Ok(tx.prepare_cached(SQL)?.execute((key.as_str(), epoch, thumbhash))? > 0);
        // Lost with the power, it is made again.
        self.writer.write_unsynced("noting a poster", note).await
    }
}
