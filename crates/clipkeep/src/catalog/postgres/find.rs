//! Lookups.

use clipkeep_core::{
    generation::{Clip, Generation, HistoryEntry},
    id::{ClipKey, RequestId},
    state::ClipState,
    time::Timestamp,
};
use deadpool_postgres::GenericClient;
use futures_util::TryStreamExt as _;
use tokio_postgres::{Row, types::ToSql};

use super::super::{
    ClipFilter, ClipPage, Cursor, Result,
    page::{PageBuilder, Statement, Value},
    row::{self, select_clips, select_generations},
};

/// Runs a query and reads each of its rows.
pub(super) async fn all<T>(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
    read: impl Fn(&Row) -> Result<T>,
) -> Result<Vec<T>> {
    let statement = client.prepare_cached(sql).await?;
    client.query(&statement, params).await?.iter().map(read).collect()
}

/// Runs a query and reads its first row, if there is one.
pub(super) async fn first<T>(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
    read: impl Fn(&Row) -> Result<T>,
) -> Result<Option<T>> {
    let statement = client.prepare_cached(sql).await?;
    client.query_opt(&statement, params).await?.as_ref().map(read).transpose()
}

pub(super) async fn generation(client: &impl GenericClient, id: &RequestId) -> Result<Option<Generation>> {
    const SQL: &str = select_generations!("WHERE request_id = $1 ORDER BY created_at, provider LIMIT 1");
    first(client, SQL, &[&id.as_str()], row::generation).await
}

pub(super) async fn clip(client: &impl GenericClient, key: &ClipKey) -> Result<Option<Clip>> {
    const SQL: &str = select_clips!("WHERE c.key = $1");
    const BY_WAS_KEY: &str = select_clips!("WHERE c.was_key = $1 LIMIT 1");
    match first(client, SQL, &[&key.as_str()], row::clip).await? {
        Some(clip) => Ok(Some(clip)),
        None => first(client, BY_WAS_KEY, &[&key.as_str()], row::clip).await,
    }
}

pub(super) async fn clips(
    client: &impl GenericClient,
    filter: &ClipFilter,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<ClipPage> {
    let list = Statement::list(filter, after, limit, '$');
    let statement = client.prepare_cached(&list.sql).await?;
    // As they come: not all of them may be wanted.
    let mut rows = std::pin::pin!(client.query_raw(&statement, list.values.iter().map(sql_value)).await?);
    let mut filling = PageBuilder::new(limit);
    while let Some(row) = rows.try_next().await? {
        if !filling.push(row::clip(&row)?) {
            break;
        }
    }
    Ok(filling.page())
}

pub(super) fn sql_value(value: &Value) -> &(dyn ToSql + Sync) {
    match value {
        Value::Text(text) => text,
        Value::Int(int) => int,
    }
}

pub(super) async fn history(client: &impl GenericClient, key: &ClipKey) -> Result<Vec<HistoryEntry>> {
    const SQL: &str = "SELECT key, at, event, detail, bytes FROM history WHERE key = $1 ORDER BY id";
    all(client, SQL, &[&key.as_str()], row::history_entry).await
}

/// Finds the earliest time in the queue. Of those whose time was seen to have
/// come, any one tells as much.
pub const NEXT_DUE: &str = "SELECT least( \
    (SELECT min(queue_at) FROM clips WHERE queue_at IS NOT NULL AND NOT queued AND policy <> 'deferred'), \
    (SELECT min(queue_at) FROM clips WHERE queue_at IS NOT NULL AND NOT queued AND policy = 'deferred'), \
    (SELECT queue_at FROM clips WHERE queued ORDER BY source_expires_at, due_at, key LIMIT 1)) AS due";

pub(super) async fn next_due(client: &impl GenericClient) -> Result<Option<Timestamp>> {
    let due: Option<Option<i64>> = first(client, NEXT_DUE, &[], |row| Ok(row.try_get("due")?)).await?;
    Ok(due.flatten().map(Timestamp::from_millis))
}

pub(super) async fn count_by_state(client: &impl GenericClient) -> Result<Vec<(ClipState, u64)>> {
    const SQL: &str = "SELECT state, count(*) AS clips FROM clips GROUP BY state";
    all(client, SQL, &[], row::count).await
}

/// Reads and writes: an update that changes nothing is still committed.
pub(super) async fn ping(client: &impl GenericClient) -> Result<()> {
    let statement = client.prepare_cached("UPDATE schema_migrations SET version = version").await?;
    client.execute(&statement, &[]).await?;
    Ok(())
}

pub(super) async fn answers(client: &impl GenericClient) -> Result<()> {
    const SQL: &str = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean";
    let statement = client.prepare_cached(SQL).await?;
    if client.query_one(&statement, &[]).await?.get(0) {
        return Err(crate::catalog::CatalogError::unavailable("asking the catalogue", "the database takes no writes"));
    }
    Ok(())
}
