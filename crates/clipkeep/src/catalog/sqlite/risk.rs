//! Clips at risk.

use async_trait::async_trait;
use clipkeep_core::{event::EventType, generation::Clip, id::Tenant, time::Timestamp};
use rusqlite::Connection;

use super::{
    super::{
        Result,
        merge::NewHistoryEntry,
        page,
        risk::AtRisk,
        row::{self, select_clips},
    },
    SqliteCatalog,
    find::all,
    record::append_history,
};

/// Lists clips at risk, soonest first.
pub const AT_RISK: &str = select_clips!(
    "WHERE c.state NOT IN ('stored', 'lost', 'rejected', 'deleted') AND c.source_expires_at IS NOT NULL AND c.source_expires_at <= ?1 \
    ORDER BY c.source_expires_at, c.key LIMIT ?2"
);

/// The same of those that nobody was told of.
pub const UNREPORTED: &str = select_clips!(
    "WHERE c.state NOT IN ('stored', 'lost', 'rejected', 'deleted') AND c.source_expires_at IS NOT NULL AND c.at_risk_reported = 0 \
    AND c.source_expires_at <= ?1 ORDER BY c.source_expires_at, c.key LIMIT ?2"
);

/// Lists clips whose last attempt failed.
pub const FAILING: &str = select_clips!(
    "WHERE c.state NOT IN ('filling', 'stored', 'lost', 'rejected', 'deleted') AND c.last_error IS NOT NULL AND (?1 IS NULL OR c.tenant = ?1) \
    ORDER BY c.created_at DESC, c.key DESC LIMIT ?2"
);

fn report(tx: &Connection, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Clip>> {
    const REPORTED: &str = "UPDATE clips SET at_risk_reported = 1 WHERE key = ?1";
    const EMIT: &str = "INSERT INTO events (at, type, provider, request_id, key, detail) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let clips = all(tx, UNREPORTED, (until.millis(), page::size(limit)), |row| row::clip(row))?;
    for clip in &clips {
        let (key, why) = (clip.key.as_str(), clip.risk());
        tx.prepare_cached(REPORTED)?.execute([key])?;
        let id = (clip.provider.as_str(), clip.request_id.as_str());
        let event = (now.millis(), EventType::ClipAtRisk.as_str(), id.0, id.1, key, &why);
        tx.prepare_cached(EMIT)?.execute(event)?;
        append_history(tx, &NewHistoryEntry { key: clip.key.clone(), at: now, event: "at_risk", detail: Some(why) })?;
    }
    Ok(clips)
}

fn count(db: &Connection, until: Timestamp) -> Result<u64> {
    const SQL: &str = "SELECT count(*) FROM clips \
        WHERE state NOT IN ('stored', 'lost', 'rejected', 'deleted') AND source_expires_at IS NOT NULL AND source_expires_at <= ?1";
    Ok(db.prepare_cached(SQL)?.query_row([until.millis()], |row| row.get::<_, i64>(0))?.cast_unsigned())
}

#[async_trait]
impl AtRisk for SqliteCatalog {
    async fn report_at_risk(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Clip>> {
        self.writer.write("reporting clips at risk", move |tx| report(tx, now, until, limit)).await
    }

    async fn at_risk(&self, until: Timestamp, limit: u32) -> Result<Vec<Clip>> {
        let list = move |db: &Connection| all(db, AT_RISK, (until.millis(), page::size(limit)), |row| row::clip(row));
        self.readers.read("listing clips at risk", list).await
    }

    async fn failing(&self, tenant: Option<&Tenant>, limit: u32) -> Result<Vec<Clip>> {
        let params = (tenant.map(ToString::to_string), page::size(limit));
        let list = move |db: &Connection| all(db, FAILING, params, |row| row::clip(row));
        self.readers.read("listing clips that fail", list).await
    }

    async fn count_at_risk(&self, until: Timestamp) -> Result<u64> {
        self.readers.read("counting clips at risk", move |db| count(db, until)).await
    }
}
