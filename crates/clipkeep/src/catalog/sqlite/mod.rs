//! The catalogue in a SQLite file: one writer whose waiting writes share a
//! commit, and a few readers beside it.
//!
//! An acknowledged write is on disk: the journal is a write-ahead log that is
//! synced on every commit. Another process may read (and write) the same file.

mod budgets;
mod claims;
mod costs;
mod expiry;
pub mod find;
mod forecast;
pub mod lineage;
mod lookup;
pub mod maintenance;
pub mod outbox;
pub mod polls;
mod posters;
pub mod queue;
mod record;
mod rename;
pub mod requeue;
mod revocations;
pub mod risk;
pub mod search;
mod sessions;
pub mod sharing;
mod storage_periods;
mod submissions;
pub mod tenants;
mod tokens;
mod unreads;
mod usage;
mod writer;

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use clipkeep_core::{
    generation::{Clip, Generation, HistoryEntry, HookRecord, Sealed},
    id::{ClipKey, RequestId},
    state::ClipState,
    time::Timestamp,
    version::SourceVersion,
    view::View,
};
use rusqlite::{Connection, OptionalExtension as _, Row, config::DbConfig};

use self::{find::Readers, writer::Writer};
use super::{
    Attempt, Catalog, CatalogError, Claim, ClipFilter, ClipPage, Cursor, Fault, HookOutcome, Lease, NodeId, Pinned,
    Quota, Registration, Result,
    ending::Ending,
    migrate,
    open::OpenError,
    row::{Columns, Unreadable},
    rules::Rules,
};

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long opening the file waits for one, as long as a write does.
const OPEN_TIMEOUT: Duration = Duration::from_secs(25);

/// The catalogue in a SQLite file.
pub struct SqliteCatalog {
    writer: Writer,
    readers: Readers,
    rules: Arc<Rules>,
}

impl SqliteCatalog {
    /// Opens the file, which is made with its folder if it is not there, and
    /// brings its schema up to date.
    pub async fn open(path: &Path, rules: Rules) -> Result<Self, OpenError> {
        let file = path.to_owned();
        let writer = tokio::task::spawn_blocking(move || {
            let mut connection = create(&file)?;
            connection.busy_timeout(OPEN_TIMEOUT).map_err(CatalogError::from)?;
            migrate(&mut connection)?;
            connection.busy_timeout(BUSY_TIMEOUT).map_err(CatalogError::from)?;
            Writer::start(connection).map_err(OpenError::from)
        });
        let writer = writer.await.map_err(|error| CatalogError::unavailable("opening the SQLite file", error))??;
        Ok(Self { writer, readers: Readers::new(path), rules: Arc::new(rules) })
    }
}

fn create(path: &Path) -> Result<Connection> {
    const DOING: &str = "opening the SQLite file";
    let naming = |error: &dyn std::error::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| CatalogError::unavailable(DOING, naming(&error)))?;
    }
    connect(path).map_err(|error| match error {
        CatalogError::Unavailable { source, .. } => CatalogError::unavailable(DOING, naming(&*source)),
        other => other,
    })
}

/// Opens a connection on which a commit that returns is on disk.
fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Without it a statement with a bound LIMIT is parsed anew on each run.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let mode = write_ahead(&connection)?;
    if mode != "wal" {
        return Err(CatalogError::unavailable("turning on the write-ahead log", format!("journal mode is {mode}")));
    }
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864; \
             PRAGMA wal_autocheckpoint = 8000; PRAGMA cache_size = -16384;",
    )?;
    Ok(connection)
}

/// Turns on the write-ahead log. Where several processes start at once SQLite
/// says «busy» here without waiting, whatever the timeout.
fn write_ahead(connection: &Connection) -> Result<String> {
    let began = std::time::Instant::now();
    loop {
        match connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0)) {
            Err(error) if is_busy(&error) && began.elapsed() < OPEN_TIMEOUT => {
                std::thread::park_timeout(Duration::from_millis(5))
            }
            mode => return Ok(mode?),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
}

/// Applies what the file's schema lacks. Reads only, if that is nothing.
fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    loop {
        if migrate::pending(migrate::SQLITE, version(connection)?)?.is_empty() {
            return Ok(());
        }
        migrate_once(connection)?;
    }
}

fn migrate_once(connection: &mut Connection) -> Result<(), OpenError> {
    let doing = |error: rusqlite::Error| CatalogError::from(error).while_doing("applying the schema");
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(doing)?;
    // Again, under the lock: another process may have been faster.
    if let Some(next) = migrate::pending(migrate::SQLITE, version(&tx)?)?.first() {
        tx.execute_batch("CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY) STRICT")
            .map_err(doing)?;
        tx.execute_batch(next.sql).map_err(doing)?;
        tx.execute("INSERT INTO schema_migrations (version) VALUES (?1)", [next.version]).map_err(doing)?;
    }
    Ok(tx.commit().map_err(doing)?)
}

fn version(connection: &Connection) -> Result<i64> {
    let known = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations'";
    if connection.query_row(known, (), |_| Ok(())).optional()?.is_none() {
        return Ok(0);
    }
    let newest: Option<i64> =
        connection.query_row("SELECT max(version) FROM schema_migrations", (), |row| row.get(0))?;
    Ok(newest.unwrap_or(0))
}

impl From<rusqlite::Error> for CatalogError {
    fn from(error: rusqlite::Error) -> Self {
        Self::unavailable("asking the SQLite file", error)
    }
}

impl Columns for Row<'_> {
    fn text(&self, column: &'static str) -> Result<Option<String>, Unreadable> {
        self.get(column).map_err(|_| Unreadable)
    }

    fn int(&self, column: &'static str) -> Result<Option<i64>, Unreadable> {
        self.get(column).map_err(|_| Unreadable)
    }

    fn real(&self, column: &'static str) -> Result<Option<f64>, Unreadable> {
        self.get(column).map_err(|_| Unreadable)
    }

    fn flag(&self, column: &'static str) -> Result<Option<bool>, Unreadable> {
        self.get(column).map_err(|_| Unreadable)
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn record_hooks(&self, hooks: &[HookRecord]) -> Result<Vec<HookOutcome>> {
        let (hooks, rules) = (hooks.to_vec(), Arc::clone(&self.rules));
        self.writer.write_soon("recording webhooks", move |tx| record::hooks(tx, &rules, &hooks)).await
    }

    async fn register(&self, registration: &Registration) -> Result<Generation> {
        let (registration, rules) = (registration.clone(), Arc::clone(&self.rules));
        self.writer.write("registering a generation", move |tx| record::register(tx, &rules, &registration)).await
    }

    async fn generation(&self, request_id: &RequestId) -> Result<Option<Generation>> {
        let id = request_id.clone();
        self.readers.read("finding a generation", move |db| find::generation(db, &id)).await
    }

    async fn clip(&self, key: &ClipKey) -> Result<Option<Clip>> {
        let key = key.clone();
        self.readers.read("finding a clip", move |db| find::clip(db, &key)).await
    }

    async fn clips(&self, filter: &ClipFilter, after: Option<&Cursor>, limit: u32) -> Result<ClipPage> {
        if let Some(words) = &filter.words {
            return self.search(words, filter, after, limit).await;
        }
        let (filter, after) = (filter.clone(), after.cloned());
        self.readers.read("listing clips", move |db| find::clips(db, &filter, after.as_ref(), limit)).await
    }

    async fn history(&self, key: &ClipKey) -> Result<Vec<HistoryEntry>> {
        let key = key.clone();
        self.readers.read("reading a clip's history", move |db| find::history(db, &key)).await
    }

    async fn claim_due(&self, node: &NodeId, now: Timestamp, lease: Duration, quota: Quota) -> Result<Vec<Claim>> {
        let take = queue::Take { node: node.clone(), now, until: now.plus(lease) };
        self.writer.write_unsynced("claiming due clips", move |tx| queue::claim_due(tx, &take, quota)).await
    }

    async fn claim(&self, key: &ClipKey, node: &NodeId, now: Timestamp, lease: Duration) -> Result<Option<Claim>> {
        let take = queue::Take { node: node.clone(), now, until: now.plus(lease) };
        let key = key.clone();
        self.writer.write_unsynced("claiming a clip", move |tx| queue::claim(tx, &take, &key)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>> {
        self.readers.read("looking for the next due clip", find::next_due).await
    }

    async fn renew(&self, lease: &Lease, until: Timestamp, reached: u64) -> Result<()> {
        let lease = lease.clone();
        self.writer.write_unsynced("renewing a lease", move |tx| queue::renew(tx, &lease, until, reached)).await
    }

    async fn raise_epoch(&self, lease: &Lease, at: Timestamp, why: &str) -> Result<i64> {
        let (lease, why) = (lease.clone(), why.to_owned());
        self.writer.write("raising a clip's epoch", move |tx| queue::raise_epoch(tx, &lease, at, &why)).await
    }

    async fn pin(
        &self,
        key: &ClipKey,
        epoch: i64,
        version: &SourceVersion,
        view: Option<&View>,
    ) -> Result<Option<Pinned>> {
        let (key, version, view) = (key.clone(), version.clone(), view.copied());
        self.writer.write("pinning a version", move |tx| queue::pin(tx, &key, epoch, &version, view.as_ref())).await
    }

    async fn decide_view(&self, key: &ClipKey, epoch: i64, view: &View) -> Result<Option<View>> {
        let (key, view) = (key.clone(), *view);
        self.writer.write("deciding on a view", move |tx| queue::decide_view(tx, &key, epoch, &view)).await
    }

    async fn decide_type(&self, key: &ClipKey, epoch: i64, name: &str) -> Result<Option<String>> {
        let (key, name) = (key.clone(), name.to_owned());
        self.writer.write("deciding on a media type", move |tx| queue::decide_type(tx, &key, epoch, &name)).await
    }

    async fn rename(&self, lease: &Lease, to: &ClipKey, at: Timestamp) -> Result<bool> {
        let (lease, to) = (lease.clone(), to.clone());
        self.writer.write("renaming a clip", move |tx| rename::rename(tx, &lease, &to, at)).await
    }

    async fn seal(&self, lease: &Lease, sealed: &Sealed, at: Timestamp) -> Result<()> {
        let (lease, sealed) = (lease.clone(), sealed.clone());
        self.writer.write("sealing a clip", move |tx| queue::seal(tx, &lease, &sealed, at)).await
    }

    async fn mark_stored(&self, lease: &Lease, attempt: Attempt) -> Result<()> {
        self.end(lease, Ending::stored(attempt)).await
    }

    async fn retry_later(
        &self,
        lease: &Lease,
        attempt: Attempt,
        due: Timestamp,
        fault: Fault,
        why: &str,
    ) -> Result<()> {
        self.end(lease, Ending::retry(attempt, due, fault, why)).await
    }

    async fn release(&self, lease: &Lease, attempt: Attempt) -> Result<()> {
        self.end(lease, Ending::release(attempt)).await
    }

    async fn mark_lost(&self, lease: &Lease, attempt: Attempt, why: &str) -> Result<()> {
        self.end(lease, Ending::lost(attempt, why)).await
    }

    async fn mark_rejected(&self, lease: &Lease, attempt: Attempt, why: &str) -> Result<()> {
        self.end(lease, Ending::rejected(attempt, why)).await
    }

    async fn mark_refused(
        &self,
        lease: &Lease,
        attempt: Attempt,
        end: ClipState,
        origin: &str,
        why: &str,
    ) -> Result<()> {
        self.end(lease, Ending::refused(attempt, end, origin, why)).await
    }

    async fn count_by_state(&self) -> Result<Vec<(ClipState, u64)>> {
        self.readers.read("counting clips", find::count_by_state).await
    }

    async fn ready(&self) -> Result<()> {
        self.readers.read("asking the catalogue", find::ping).await
    }

    async fn ping(&self) -> Result<()> {
        self.readers.read("pinging the catalogue", find::ping).await?;
        let write = "UPDATE schema_migrations SET version = version";
        self.writer.write("pinging the catalogue", move |tx| Ok(tx.execute(write, ()).map(|_| ())?)).await
    }
}

impl SqliteCatalog {
    async fn end(&self, lease: &Lease, ending: Ending) -> Result<()> {
        let lease = lease.clone();
        self.writer.write(ending.doing, move |tx| queue::end(tx, &lease, &ending)).await
    }
}

#[cfg(test)]
mod tests;
