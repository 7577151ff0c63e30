//! Links that are revoked before their time.

use async_trait::async_trait;
use clipkeep_core::{
    event::EventType,
    id::{ClipKey, Tenant},
    link::Revocation,
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{
    super::{
        Result,
        merge::NewHistoryEntry,
        revocations::{MAX_REVOCATIONS, MAX_REVOCATIONS_OF_TENANTS, MAX_REVOCATIONS_PER_TENANT, NOBODY, Revocations},
        row,
    },
    SqliteCatalog,
    find::all,
    record::append_history,
};

fn revoke(tx: &Connection, revocation: &Revocation, by: Option<&str>, at: Timestamp) -> Result<bool> {
    const FORGET: &str = "DELETE FROM revocations WHERE ends_at <= ?1";
    const KNOWN: &str = "SELECT 1 FROM revocations WHERE what = ?1";
    const COUNT: &str = "SELECT count(*), count(tenant), count(*) FILTER (WHERE tenant = ?1) FROM revocations";
    const KEEP: &str = "INSERT INTO revocations (what, revoked_at, ends_at, tenant) VALUES (?1, ?2, ?3, ?4)";
    const EMIT: &str = "INSERT INTO events (at, type, provider, request_id, detail) VALUES (?1, ?2, ?3, ?4, ?5)";
    let what = revocation.to_string();
    tx.prepare_cached(FORGET)?.execute([at.millis()])?;
    if tx.prepare_cached(KNOWN)?.exists([&what])? {
        return Ok(true);
    }
    let counts = |row: &Row<'_>| Ok((row.get::<_, u32>(0)?, row.get::<_, u32>(1)?, row.get::<_, u32>(2)?));
    let (all, tenants, own) = tx.prepare_cached(COUNT)?.query_row([by], counts)?;
    let full = all >= MAX_REVOCATIONS
        || by.is_some() && (tenants >= MAX_REVOCATIONS_OF_TENANTS || own >= MAX_REVOCATIONS_PER_TENANT);
    // Keys are few, and the last resort: no number of links stands in their way.
    if full && revocation.ends().is_some() {
        return Ok(false);
    }
    tx.prepare_cached(KEEP)?.execute((&what, at.millis(), revocation.ends().map(Timestamp::millis), by))?;
    let [provider, request_id] = NOBODY;
    let kind = EventType::LinkRevoked.as_str();
    tx.prepare_cached(EMIT)?.execute((at.millis(), kind, provider, request_id, &what))?;
    Ok(true)
}

fn revoke_links_of(tx: &Connection, key: &ClipKey, at: Timestamp) -> Result<Option<u32>> {
    const RAISE: &str =
        "UPDATE clips SET link_generation = link_generation + 1 WHERE key = ?1 RETURNING link_generation";
    const EMIT: &str = "INSERT INTO events (at, type, provider, request_id, key) \
        SELECT ?2, ?3, provider, request_id, key FROM clips WHERE key = ?1";
    let raised: Option<u32> = tx.prepare_cached(RAISE)?.query_row([key.as_str()], |row| row.get(0)).optional()?;
    if let Some(generation) = raised {
        tx.prepare_cached(EMIT)?.execute((key.as_str(), at.millis(), EventType::LinkRevoked.as_str()))?;
        let detail = Some(format!("generation {generation} from now on"));
        append_history(tx, &NewHistoryEntry { key: key.clone(), at, event: "links_revoked", detail })?;
    }
    Ok(raised)
}

#[async_trait]
impl Revocations for SqliteCatalog {
    async fn revocations(&self, now: Timestamp) -> Result<Vec<Revocation>> {
        const SQL: &str = "SELECT what FROM revocations WHERE ends_at IS NULL OR ends_at > ?1";
        let read = move |db: &Connection| all(db, SQL, [now.millis()], |row| row::revocation(row));
        self.readers.read("reading revocations", read).await
    }

    async fn revoke(&self, revocation: &Revocation, by: Option<&Tenant>, at: Timestamp) -> Result<bool> {
        let (revocation, by) = (revocation.clone(), by.cloned());
        let write = move |tx: &Connection| revoke(tx, &revocation, by.as_ref().map(Tenant::as_str), at);
        self.writer.write("revoking links", write).await
    }

    async fn revoke_links_of(&self, key: &ClipKey, at: Timestamp) -> Result<Option<u32>> {
        let key = key.clone();
        self.writer.write("revoking a clip's links", move |tx| revoke_links_of(tx, &key, at)).await
    }
}
