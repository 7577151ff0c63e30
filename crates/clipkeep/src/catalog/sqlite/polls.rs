//! Asking for generations.

use async_trait::async_trait;
use clipkeep_core::time::Timestamp;
use rusqlite::Connection;

use super::{
    super::{
        Fault, Result,
        merge::without_nul,
        page,
        polls::{Poll, Polls},
        row::{self, generation_columns},
    },
    SqliteCatalog,
    find::all,
};

/// Finds generations to ask for, longest due first.
pub const DUE: &str = concat!(
    "SELECT ",
    generation_columns!(),
    ", polls + 1 AS polls, poll_misses, poll_error, (SELECT count(*) FROM key_owners n WHERE n.request_id = \
     generations.request_id AND n.provider = generations.provider) AS named \
     FROM generations WHERE poll_at <= ?1 ORDER BY poll_at LIMIT ?2"
);

/// Counts what cannot be asked for. Whose clip is awaited in our own store
/// need not be.
pub const UNASKED: &str = "SELECT count(*) AS unasked FROM generations g \
    WHERE poll_at IS NULL AND status IN ('pending', 'result_missing') AND (SELECT count(*) FROM clips c \
    WHERE c.request_id = g.request_id AND c.provider = g.provider AND c.source_url LIKE 'store:%') = 0";

fn claim(tx: &Connection, now: Timestamp, hold: Timestamp, limit: u32) -> Result<Vec<Poll>> {
    const HOLD: &str = "UPDATE generations SET poll_at = ?3, polls = polls + 1 WHERE provider = ?1 AND request_id = ?2";
    let polls = all(tx, DUE, (now.millis(), page::size(limit)), |row| row::poll(row))?;
    for Poll { generation, .. } in &polls {
        let params = (generation.provider.as_str(), generation.request_id.as_str(), hold.millis());
        tx.prepare_cached(HOLD)?.execute(params)?;
    }
    Ok(polls)
}

fn later(tx: &Connection, poll: &Poll, due: Timestamp, fault: Option<Fault>, why: Option<&str>) -> Result<()> {
    const SQL: &str = "UPDATE generations SET poll_at = ?4, poll_misses = poll_misses + ?5, poll_error = ?6 \
        WHERE provider = ?1 AND request_id = ?2 AND polls = ?3 AND poll_at IS NOT NULL";
    let id = (poll.generation.provider.as_str(), poll.generation.request_id.as_str());
    let misses = i64::from(fault == Some(Fault::Source));
    tx.prepare_cached(SQL)?.execute((id.0, id.1, poll.polls, due.millis(), misses, why.map(without_nul)))?;
    Ok(())
}

#[async_trait]
impl Polls for SqliteCatalog {
    async fn claim_polls(&self, now: Timestamp, hold: Timestamp, limit: u32) -> Result<Vec<Poll>> {
        self.writer.write_unsynced("claiming polls", move |tx| claim(tx, now, hold, limit)).await
    }

    async fn poll_later(&self, poll: &Poll, due: Timestamp, fault: Option<Fault>, why: Option<&str>) -> Result<()> {
        let (poll, why) = (poll.clone(), why.map(str::to_owned));
        let write = move |tx: &Connection| later(tx, &poll, due, fault, why.as_deref());
        self.writer.write_unsynced("putting a poll off", write).await
    }

    async fn count_unasked(&self) -> Result<u64> {
        let count = |db: &Connection| Ok(db.prepare_cached(UNASKED)?.query_row((), |row| row.get::<_, i64>(0))?);
        Ok(self.readers.read("counting generations", count).await?.cast_unsigned())
    }
}
