//! A database whose events were copied from another without the counter that
//! numbers them.

use deadpool_postgres::Object;

use super::super::{CatalogError, Result};

/// Puts the counter after all events and every endpoint's cursor, if it is
/// not. Without this, new events would lie before what was delivered already, and
/// nobody would hear of them.
const GO_ON: &str = "SELECT setval('event_positions', newest) FROM (SELECT \
    greatest((SELECT max(tx) FROM events), (SELECT max(tx) FROM endpoints)) AS newest) t \
    WHERE newest > (SELECT last_value FROM event_positions)";

/// Has new events come after all that are there. For a node that opens the
/// catalogue; several at once take turns.
pub(super) async fn renumber(client: &mut Object) -> Result<()> {
    let tx = client.transaction().await?;
    tx.batch_execute("SELECT pg_advisory_xact_lock(x'636c69706b656570'::bigint)").await?;
    if tx.query_opt(GO_ON, &[]).await.map_err(CatalogError::from)?.is_some() {
        tracing::warn!("this database was restored from another server: its events are numbered on from there");
    }
    Ok(tx.commit().await?)
}
