//! Results that were not understood.

use async_trait::async_trait;
use clipkeep_core::id::{Provider, RequestId, Tenant};
use rusqlite::Connection;

use super::{
    super::{
        Result,
        merge::{GenerationId, without_nul},
        page,
        row::{self, select_unreads},
        unreads::{UnreadCursor, UnreadResult, UnreadRow, Unreads},
    },
    SqliteCatalog,
    find::{all, first},
};

/// Keeps a generation's result that was not understood, in place of one before
/// it; or forgets it.
pub(super) fn write(tx: &Connection, (provider, request_id): &GenerationId, kept: Option<&UnreadResult>) -> Result<()> {
    const GONE: &str = "DELETE FROM unread WHERE provider = ?1 AND request_id = ?2";
    const KEPT: &str = "INSERT INTO unread (provider, request_id, at, form, why, len, payload) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (request_id, provider) DO UPDATE SET at = excluded.at, \
        form = excluded.form, why = excluded.why, len = excluded.len, payload = excluded.payload";
    let id = (provider.as_str(), request_id.as_str());
    let Some(UnreadResult { at, unread }) = kept else {
        tx.prepare_cached(GONE)?.execute(id)?;
        return Ok(());
    };
    let (why, len) = (without_nul(&unread.why), unread.len.cast_signed());
    let params = (id.0, id.1, at.millis(), unread.form.as_str(), why, len, unread.payload.as_ref());
    tx.prepare_cached(KEPT)?.execute(params)?;
    Ok(())
}

#[async_trait]
impl Unreads for SqliteCatalog {
    async fn unreads(
        &self,
        tenant: Option<&Tenant>,
        after: Option<&UnreadCursor>,
        limit: u32,
    ) -> Result<Vec<UnreadRow>> {
        const SQL: &str = select_unreads!(
            "WHERE (u.at, u.request_id, u.provider) > (?1, ?2, ?3) AND (?4 IS NULL OR g.tenant = ?4) \
            ORDER BY u.at, u.request_id, u.provider LIMIT ?5"
        );
        let (at, request_id, provider) = after.map_or((i64::MIN, String::new(), String::new()), |after| {
            (after.at.millis(), after.request_id.to_string(), after.provider.to_string())
        });
        let params = (at, request_id, provider, tenant.map(ToString::to_string), page::size(limit));
        self.readers.read("listing unread results", move |db| all(db, SQL, params, |row| row::unread(row))).await
    }

    async fn unread(
        &self,
        provider: &Provider,
        request_id: &RequestId,
    ) -> Result<Option<(UnreadRow, Option<Vec<u8>>)>> {
        const SQL: &str = select_unreads!("WHERE u.provider = ?1 AND u.request_id = ?2");
        let id = [provider.to_string(), request_id.to_string()];
        let look = move |db: &Connection| first(db, SQL, id, |row| Ok((row::unread(row)?, row.get("payload")?)));
        self.readers.read("looking an unread result up", look).await
    }

    async fn erase_unread(&self, provider: &Provider, request_id: &RequestId) -> Result<()> {
        const SQL: &str = "UPDATE unread SET payload = NULL WHERE provider = ?1 AND request_id = ?2";
        let id = [provider.to_string(), request_id.to_string()];
        let erase = move |tx: &Connection| Ok(tx.prepare_cached(SQL)?.execute(id).map(drop)?);
        self.writer.write("erasing an unread result", erase).await
    }

    async fn inlines(&self) -> Result<Vec<(Provider, RequestId, String)>> {
        const SQL: &str = "SELECT key, provider, request_id, source_url FROM clips INDEXED BY clips_inline \
            WHERE substr(source_url, 1, 7) = 'inline:' AND state NOT IN ('stored', 'deleted')";
        self.readers.read("listing inline clips", |db| all(db, SQL, (), |row| row::inline(row))).await
    }
}
