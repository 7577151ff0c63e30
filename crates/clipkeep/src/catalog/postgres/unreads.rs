//! Results that were not understood.

use std::collections::BTreeMap;

use async_trait::async_trait;
use clipkeep_core::id::{Provider, RequestId, Tenant};
use deadpool_postgres::{GenericClient, Object};

use super::{
    super::{
        Result,
        merge::{GenerationId, without_nul},
        page,
        row::{self, select_unreads},
        unreads::{UnreadCursor, UnreadResult, UnreadRow, Unreads},
    },
    PostgresCatalog,
    find::{all, first},
    pool::on,
};

/// Keeps results that were not understood, each in place of one before it; or
/// forgets them.
pub(super) async fn write(
    tx: &impl GenericClient,
    unreads: &BTreeMap<GenerationId, Option<UnreadResult>>,
) -> Result<()> {
    const GONE: &str = "DELETE FROM unread WHERE provider = $1 AND request_id = $2";
    const KEPT: &str = "INSERT INTO unread (provider, request_id, at, form, why, len, payload) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (request_id, provider) DO UPDATE SET at = excluded.at, \
        form = excluded.form, why = excluded.why, len = excluded.len, payload = excluded.payload";
    for ((provider, request_id), kept) in unreads {
        let (provider, request_id) = (provider.as_str(), request_id.as_str());
        let Some(UnreadResult { at, unread }) = kept else {
            let statement = tx.prepare_cached(GONE).await?;
            tx.execute(&statement, &[&provider, &request_id]).await?;
            continue;
        };
        let (at, form, why) = (at.millis(), unread.form.as_str(), without_nul(&unread.why));
        let (len, statement) = (unread.len.cast_signed(), tx.prepare_cached(KEPT).await?);
        tx.execute(&statement, &[&provider, &request_id, &at, &form, &why, &len, &unread.payload.as_ref()]).await?;
    }
    Ok(())
}

#[async_trait]
impl Unreads for PostgresCatalog {
    async fn unreads(
        &self,
        tenant: Option<&Tenant>,
        after: Option<&UnreadCursor>,
        limit: u32,
    ) -> Result<Vec<UnreadRow>> {
        const SQL: &str = select_unreads!(
            "WHERE (u.at, u.request_id, u.provider) > ($1, $2, $3) AND ($4::text IS NULL OR g.tenant = $4) \
            ORDER BY u.at, u.request_id, u.provider LIMIT $5"
        );
        let (at, request_id, provider) = after.map_or((i64::MIN, "", ""), |after| {
            (after.at.millis(), after.request_id.as_str(), after.provider.as_str())
        });
        let (tenant, limit) = (tenant.map(Tenant::as_str), i64::from(page::size(limit)));
        let list = async |client: Object| {
            all(&client, SQL, &[&at, &request_id, &provider, &tenant, &limit], row::unread).await
        };
        on(&self.pool, "listing unread results", list).await
    }

    async fn unread(
        &self,
        provider: &Provider,
        request_id: &RequestId,
    ) -> Result<Option<(UnreadRow, Option<Vec<u8>>)>> {
        const SQL: &str = select_unreads!("WHERE u.provider = $1 AND u.request_id = $2");
        let look = async |client: Object| {
            let read = |row: &tokio_postgres::Row| Ok((row::unread(row)?, row.try_get("payload")?));
            first(&client, SQL, &[&provider.as_str(), &request_id.as_str()], read).await
        };
        on(&self.pool, "looking an unread result up", look).await
    }

    async fn erase_unread(&self, provider: &Provider, request_id: &RequestId) -> Result<()> {
        const SQL: &str = "UPDATE unread SET payload = NULL WHERE provider = $1 AND request_id = $2";
        let erase = async |client: Object| {
            let statement = client.prepare_cached(SQL).await?;
            Ok(client.execute(&statement, &[&provider.as_str(), &request_id.as_str()]).await.map(drop)?)
        };
        on(&self.pool, "erasing an unread result", erase).await
    }

    async fn inlines(&self) -> Result<Vec<(Provider, RequestId, String)>> {
        const SQL: &str = "SELECT key, provider, request_id, source_url FROM clips \
            WHERE substr(source_url, 1, 7) = 'inline:' AND state NOT IN ('stored', 'deleted')";
        on(&self.pool, "listing inline clips", async |client| all(&client, SQL, &[], row::inline).await).await
    }
}
