//! The catalogue in PostgreSQL, for any number of nodes.

mod budgets;
mod costs;
mod expiry;
pub mod find;
mod forecast;
pub mod lineage;
mod lookup;
pub mod maintenance;
pub mod outbox;
pub mod polls;
mod pool;
mod posters;
pub mod queue;
pub mod record;
mod rename;
pub mod requeue;
mod restored;
mod revocations;
pub mod risk;
pub mod search;
mod sessions;
pub mod sharing;
mod storage_periods;
mod submissions;
pub mod tenants;
mod time_buckets;
mod tls;
mod tokens;
mod unreads;
mod url;
mod usage;

use std::time::Duration;

use async_trait::async_trait;
use clipkeep_core::{
    generation::{Clip, Generation, HistoryEntry, HookRecord, Sealed},
    id::{ClipKey, RequestId},
    secret::Secret,
    state::ClipState,
    time::Timestamp,
    version::SourceVersion,
    view::View,
};
use deadpool_postgres::{GenericClient, Object, Pool};
use tokio_postgres::Row;

use self::{pool::on, queue::Take};
use super::{
    Attempt, Catalog, CatalogError, Claim, ClipFilter, ClipPage, Cursor, Fault, HookOutcome, Lease, NodeId, Pinned,
    Quota, Registration, Result,
    ending::Ending,
    migrate,
    open::OpenError,
    row::{Columns, Unreadable},
    rules::Rules,
};

/// The catalogue in PostgreSQL.
pub struct PostgresCatalog {
    pool: Pool,
    rules: Rules,
}

impl PostgresCatalog {
    /// Connects and brings the schema up to date.
    pub async fn open(url: &Secret<String>, rules: Rules) -> Result<Self, OpenError> {
        let pool = pool::pool(url)?;
        let doing = |error: CatalogError| error.while_doing("opening the PostgreSQL database");
        pool::refuse_poolers(&pool).await?;
        let mut client = pool.get().await.map_err(|error| doing(error.into()))?;
        while migrate_once(&mut client).await? {}
        restored::renumber(&mut client).await.map_err(doing)?;
        Ok(Self { pool, rules })
    }

    /// Whether the database is a catalogue already. Changes nothing.
    pub async fn is_there(url: &Secret<String>) -> Result<bool, OpenError> {
        let pool = pool::pool(url)?;
        pool::refuse_poolers(&pool).await?;
        let client = pool.get().await.map_err(CatalogError::from)?;
        Ok(version(&client).await.map_err(CatalogError::from)? > 0)
    }

    async fn end(&self, lease: &Lease, ending: Ending) -> Result<()> {
        let end = async |mut client| match ending.is_in_vain() {
            true => queue::end_in_vain(&mut client, lease, &ending).await,
            false => queue::end(&client, lease, &ending).await,
        };
        on(&self.pool, ending.doing, end).await
    }
}

/// Applies the next step that the schema lacks; answers whether there was one.
/// Nodes that start at once take turns.
async fn migrate_once(client: &mut Object) -> Result<bool, OpenError> {
    let doing = |error: tokio_postgres::Error| CatalogError::from(error).while_doing("applying the schema");
    let tx = client.transaction().await.map_err(doing)?;
    // The number is "clipkeep" in ASCII. Another node's step may take its time.
    tx.batch_execute(
        "SET LOCAL statement_timeout = 600000; SET LOCAL lock_timeout = 600000; \
         SELECT pg_advisory_xact_lock(x'636c69706b656570'::bigint)",
    )
    .await
    .map_err(doing)?;
    let Some(next) = migrate::pending(migrate::POSTGRES, version(&tx).await.map_err(doing)?)?.first() else {
        return Ok(false);
    };
    tx.batch_execute("CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY)")
        .await
        .map_err(doing)?;
    tx.batch_execute(next.sql).await.map_err(doing)?;
    tx.execute("INSERT INTO schema_migrations (version) VALUES ($1)", &[&next.version]).await.map_err(doing)?;
    tx.commit().await.map_err(doing)?;
    Ok(true)
}

async fn version(client: &impl GenericClient) -> Result<i64, tokio_postgres::Error> {
    let known = client.query_one("SELECT to_regclass('schema_migrations') IS NOT NULL", &[]).await?;
    if !known.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    client.query_one("SELECT coalesce(max(version), 0) FROM schema_migrations", &[]).await?.try_get(0)
}

impl Columns for Row {
    fn text(&self, column: &'static str) -> Result<Option<String>, Unreadable> {
        self.try_get(column).map_err(|_| Unreadable)
    }

    fn int(&self, column: &'static str) -> Result<Option<i64>, Unreadable> {
        self.try_get(column).map_err(|_| Unreadable)
    }

    fn real(&self, column: &'static str) -> Result<Option<f64>, Unreadable> {
        self.try_get(column).map_err(|_| Unreadable)
    }

    fn flag(&self, column: &'static str) -> Result<Option<bool>, Unreadable> {
        self.try_get(column).map_err(|_| Unreadable)
    }
}

#[async_trait]
impl Catalog for PostgresCatalog {
    async fn record_hooks(&self, hooks: &[HookRecord]) -> Result<Vec<HookOutcome>> {
        on(&self.pool, "recording webhooks", |client| record::hooks(client, &self.rules, hooks)).await
    }

    async fn register(&self, registration: &Registration) -> Result<Generation> {
        let register = |client| record::register(client, &self.rules, registration);
        on(&self.pool, "registering a generation", register).await
    }

    async fn generation(&self, request_id: &RequestId) -> Result<Option<Generation>> {
        on(&self.pool, "finding a generation", async |client| find::generation(&client, request_id).await).await
    }

    async fn clip(&self, key: &ClipKey) -> Result<Option<Clip>> {
        on(&self.pool, "finding a clip", async |client| find::clip(&client, key).await).await
    }

    async fn clips(&self, filter: &ClipFilter, after: Option<&Cursor>, limit: u32) -> Result<ClipPage> {
        if let Some(words) = &filter.words {
            return self.search(words, filter, after, limit).await;
        }
        on(&self.pool, "listing clips", async |client| find::clips(&client, filter, after, limit).await).await
    }

    async fn history(&self, key: &ClipKey) -> Result<Vec<HistoryEntry>> {
        on(&self.pool, "reading a clip's history", async |client| find::history(&client, key).await).await
    }

    async fn claim_due(&self, node: &NodeId, now: Timestamp, lease: Duration, quota: Quota) -> Result<Vec<Claim>> {
        let take = Take { node, now, until: now.plus(lease) };
        on(&self.pool, "claiming due clips", |client| queue::claim_due(client, &take, quota)).await
    }

    async fn claim(&self, key: &ClipKey, node: &NodeId, now: Timestamp, lease: Duration) -> Result<Option<Claim>> {
        let take = Take { node, now, until: now.plus(lease) };
        on(&self.pool, "claiming a clip", async |client| queue::claim(&client, &take, key).await).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>> {
        on(&self.pool, "looking for the next due clip", async |client| find::next_due(&client).await).await
    }

    async fn renew(&self, lease: &Lease, until: Timestamp, reached: u64) -> Result<()> {
        on(&self.pool, "renewing a lease", async |client| queue::renew(&client, lease, until, reached).await).await
    }

    async fn raise_epoch(&self, lease: &Lease, at: Timestamp, why: &str) -> Result<i64> {
        let raise = async |client| queue::raise_epoch(&client, lease, at, why).await;
        on(&self.pool, "raising a clip's epoch", raise).await
    }

    async fn pin(
        &self,
        key: &ClipKey,
        epoch: i64,
        version: &SourceVersion,
        view: Option<&View>,
    ) -> Result<Option<Pinned>> {
        on(&self.pool, "pinning a version", async |client| queue::pin(&client, key, epoch, version, view).await).await
    }

    async fn decide_view(&self, key: &ClipKey, epoch: i64, view: &View) -> Result<Option<View>> {
        on(&self.pool, "deciding on a view", async |client| queue::decide_view(&client, key, epoch, view).await).await
    }

    async fn decide_type(&self, key: &ClipKey, epoch: i64, name: &str) -> Result<Option<String>> {
        on(&self.pool, "deciding on a media type", async |client| queue::decide_type(&client, key, epoch, name).await)
            .await
    }

    async fn rename(&self, lease: &Lease, to: &ClipKey, at: Timestamp) -> Result<bool> {
        on(&self.pool, "renaming a clip", |client| rename::rename(client, lease, to, at)).await
    }

    async fn seal(&self, lease: &Lease, sealed: &Sealed, at: Timestamp) -> Result<()> {
        on(&self.pool, "sealing a clip", async |client| queue::seal(&client, lease, sealed, at).await).await
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
        on(&self.pool, "counting clips", async |client| find::count_by_state(&client).await).await
    }

    async fn ready(&self) -> Result<()> {
        on(&self.pool, "asking the catalogue", async |client| find::answers(&client).await).await
    }

    async fn ping(&self) -> Result<()> {
        on(&self.pool, "pinging the catalogue", async |client| find::ping(&client).await).await
    }

    async fn warnings(&self) -> Result<Vec<String>> {
        const SQL: &str = "SELECT current_setting('server_encoding')";
        let ask = async |client| find::first(&client, SQL, &[], |row| Ok(row.try_get::<_, String>(0)?)).await;
        let encoding = on(&self.pool, "asking for the encoding", ask).await?.unwrap_or_default();
        let cannot = format!(
            "its encoding is {encoding}, which cannot hold all that prompts hold, so some webhooks will never be kept: \
             make a database with ENCODING 'UTF8' TEMPLATE template0 and move there"
        );
        Ok(Some(cannot).filter(|_| encoding != "UTF8").into_iter().collect())
    }
}
