//! Lookups, on a few connections beside the writer.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clipkeep_core::{
    generation::{Clip, Generation, HistoryEntry},
    id::{ClipKey, RequestId},
    state::ClipState,
    time::Timestamp,
};
use parking_lot::Mutex;
use rusqlite::{
    Connection, Params, Row, ToSql, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};
use tokio::{sync::Semaphore, time::timeout};

use super::super::{
    CatalogError, ClipFilter, ClipPage, Cursor, Result,
    page::{PageBuilder, Statement, Value},
    row::{self, Columns as _, select_clips, select_generations},
};

/// How many lookups run at once.
const READERS: usize = 4;
/// How long a lookup waits for its turn.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A few connections for lookups, opened when first needed.
pub(super) struct Readers {
    path: PathBuf,
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: &std::path::Path) -> Self {
        Self { path: path.to_owned(), turns: Arc::new(Semaphore::new(READERS)), idle: Arc::default() }
    }

    /// Runs a lookup off the async threads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        look: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = timeout(READ_TIMEOUT, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|late| CatalogError::unavailable(doing, late))?;
        let turn = turn.map_err(|closed| CatalogError::unavailable(doing, closed))?;
        let (idle, path) = (Arc::clone(&self.idle), self.path.clone());
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let kept = idle.lock().pop();
            let connection = kept.map_or_else(|| reader(&path), Ok)?;
            let found = look(&connection);
            idle.lock().push(connection);
            found
        });
        let found = read.await.map_err(|error| CatalogError::unavailable(doing, error))?;
        found.map_err(|error| error.while_doing(doing))
    }
}

fn reader(path: &std::path::Path) -> Result<Connection> {
    let connection = super::connect(path)?;
    connection.execute_batch("PRAGMA query_only = ON")?;
    Ok(connection)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Int(int) => ValueRef::Integer(*int),
        }))
    }
}

/// Runs a query and reads each of its rows.
pub(super) fn all<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Runs a query and reads its first row, if there is one.
pub(super) fn first<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

pub(super) fn generation(db: &Connection, request_id: &RequestId) -> Result<Option<Generation>> {
    const SQL: &str = select_generations!("WHERE request_id = ?1 ORDER BY created_at, provider LIMIT 1");
    first(db, SQL, [request_id.as_str()], |row| row::generation(row))
}

pub(super) fn clip(db: &Connection, key: &ClipKey) -> Result<Option<Clip>> {
    const SQL: &str = select_clips!("WHERE c.key = ?1");
    const BY_WAS_KEY: &str = select_clips!("WHERE c.was_key = ?1 LIMIT 1");
    match first(db, SQL, [key.as_str()], |row| row::clip(row))? {
        Some(clip) => Ok(Some(clip)),
        None => first(db, BY_WAS_KEY, [key.as_str()], |row| row::clip(row)),
    }
}

pub(super) fn clips(db: &Connection, filter: &ClipFilter, after: Option<&Cursor>, limit: u32) -> Result<ClipPage> {
    let list = Statement::list(filter, after, limit, '?');
    let mut statement = db.prepare_cached(&list.sql)?;
    let mut rows = statement.query(params_from_iter(&list.values))?;
    let mut filling = PageBuilder::new(limit);
    while let Some(row) = rows.next()? {
        if !filling.push(row::clip(row)?) {
            break;
        }
    }
    Ok(filling.page())
}

pub(super) fn history(db: &Connection, key: &ClipKey) -> Result<Vec<HistoryEntry>> {
    const SQL: &str = "SELECT key, at, event, detail, bytes FROM history WHERE key = ?1 ORDER BY id";
    all(db, SQL, [key.as_str()], |row| row::history_entry(row))
}

/// Finds the earliest time in the queue. Of those whose time was seen to have
/// come, any one tells as much.
pub const NEXT_DUE: &str = "SELECT min(queue_at) AS due FROM ( \
    SELECT min(queue_at) AS queue_at FROM clips WHERE queue_at IS NOT NULL AND queued = 0 AND policy <> 'deferred' \
    UNION ALL SELECT min(queue_at) FROM clips WHERE queue_at IS NOT NULL AND queued = 0 AND policy = 'deferred' \
    UNION ALL SELECT queue_at FROM (SELECT queue_at FROM clips WHERE queued = 1 LIMIT 1))";

pub(super) fn next_due(db: &Connection) -> Result<Option<Timestamp>> {
    let due: Option<i64> = db.prepare_cached(NEXT_DUE)?.query_row((), |row| row.get("due"))?;
    Ok(due.map(Timestamp::from_millis))
}

pub(super) fn count_by_state(db: &Connection) -> Result<Vec<(ClipState, u64)>> {
    const SQL: &str = "SELECT state, count(*) AS clips FROM clips GROUP BY state";
    all(db, SQL, (), |row| row::count(row))
}

pub(super) fn ping(db: &Connection) -> Result<()> {
    const SQL: &str = "SELECT count(*) AS applied FROM schema_migrations";
    first(db, SQL, (), |row| Ok(row.int("applied").is_ok())).map(|_| ())
}
