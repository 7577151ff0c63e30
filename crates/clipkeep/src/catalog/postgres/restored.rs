//! A database that was restored from a dump: its events carry the numbers of
//! another server's transactions.

use deadpool_postgres::Object;

use super::super::{CatalogError, Result};

/// Whether an event, or an endpoint's place, is from a transaction that is still
/// to come on this server.
const FOREIGN: &str = "SELECT EXISTS (SELECT 1 FROM events \
    WHERE tx >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint) OR EXISTS (SELECT 1 FROM endpoints \
    WHERE tx >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint)";

/// All of them keep their order by `id`, before whatever comes. An endpoint may
/// be told twice of what was written at the same time, but of nothing never.
const RENUMBER: &str = "
    UPDATE endpoints e SET tx = 0, id = coalesce(
        (SELECT min(v.id) - 1 FROM events v WHERE (v.tx, v.id) > (e.tx, e.id)), (SELECT max(id) FROM events), 0);
    UPDATE deliveries SET tx = 0;
    UPDATE events SET tx = 0 WHERE tx <> 0";

/// Puts events in front of what comes, if they are another server's. For a node
/// that opens the catalogue; several at once take turns. Without this, new
/// events would lie before what was told already, and nobody would hear of them.
pub(super) async fn renumber(client: &mut Object) -> Result<()> {
    let tx = client.transaction().await?;
    tx.batch_execute("SELECT pg_advisory_xact_lock(x'636c69706b656570'::bigint)").await?;
    let foreign: bool = tx.query_one(FOREIGN, &[]).await?.try_get(0).map_err(CatalogError::from)?;
    if foreign {
        tracing::warn!("this database was restored from another server: its events are numbered anew");
        tx.batch_execute("SET LOCAL statement_timeout = 600000").await?;
        tx.batch_execute(RENUMBER).await?;
    }
    Ok(tx.commit().await?)
}
