//! Connections: a pool of them, the limits that hold on each, and what their
//! errors may say.

use std::{future::Future, time::Duration};

use clipkeep_core::secret::Secret;
use deadpool_postgres::{
    Connect, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use futures_util::future::BoxFuture;
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{
    Client, Config, NoTls, SimpleQueryMessage, Socket,
    error::SqlState,
    tls::{MakeTlsConnect, TlsConnect},
};

use super::{
    super::{CatalogError, Result, open::OpenError},
    tls::Tls,
    url::{self, Connecting},
};

/// How many connections a node opens at most.
const CONNECTIONS: usize = 16;
/// How long connecting may take, and waiting for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call may take in all, should the server not answer at all.
const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

/// A commit that returns is on disk, whatever the server's default; every
/// statement ends; plans are made for the values at hand, and not compiled, which
/// takes longer than any of them.
const SESSION: &str = "SET statement_timeout = 15000; SET lock_timeout = 10000; \
    SET idle_in_transaction_session_timeout = 30000; SET plan_cache_mode = force_custom_plan; \
    SET jit = off; \
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// Makes a pool; connects to nothing yet.
pub(super) fn pool(url: &Secret<String>) -> Result<Pool, OpenError> {
    let Connecting { mut config, tls } = url::read(url.expose()).map_err(|problem| OpenError::BadUrl { problem })?;
    let connect = config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
    config.connect_timeout(connect);
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(QUERY_TIMEOUT);
    }
    let how = ManagerConfig { recycling_method: RecyclingMethod::Verified };
    let manager = match tls {
        Some(files) => Manager::from_connect(config, Dialled(Tls::by(&files)?), how),
        None => Manager::from_connect(config, Dialled(NoTls), how),
    };
    let prepare = Hook::async_fn(|client, _| {
        Box::pin(async move { client.batch_execute(SESSION).await.map_err(HookError::Backend) })
    });
    let pool = Pool::builder(manager).max_size(CONNECTIONS).runtime(Runtime::Tokio1);
    let pool = pool
        .wait_timeout(Some(CONNECT_TIMEOUT))
        .create_timeout(Some(connect.max(CONNECT_TIMEOUT)))
        .recycle_timeout(Some(CONNECT_TIMEOUT));
    let pool = pool.post_create(prepare).build();
    Ok(pool.map_err(|error| CatalogError::unavailable("setting up the connection pool", error))?)
}

/// How connections are made: as the pool itself would, but the log is told why one
/// ended.
struct Dialled<T>(T);

impl<T> Connect for Dialled<T>
where
    T: MakeTlsConnect<Socket, Stream: Send + Sync, TlsConnect: TlsConnect<Socket, Future: Send> + Send + Sync>,
    T: Clone + Send + Sync + 'static,
{
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let (config, tls) = (config.clone(), self.0.clone());
        Box::pin(async move {
            let (client, connection) = config.connect(tls).await?;
            let serving = tokio::spawn(async move {
                if let Err(error) = connection.await.map_err(CatalogError::from) {
                    let error = &error.while_doing("keeping a connection") as &dyn std::error::Error;
                    tracing::warn!(error, "a connection to PostgreSQL ended");
                }
            });
            Ok((client, serving))
        })
    }
}

/// Refuses a pooler that hands out the server's connections per transaction, as
/// PgBouncer does with `pool_mode = transaction`: what holds on a session is lost
/// there, durable commits and prepared statements above all.
pub(super) async fn refuse_poolers(pool: &Pool) -> Result<(), OpenError> {
    const WHAT: &str = "it leads to a pooler that hands out the server's connections per transaction (PgBouncer's \
        pool_mode=transaction), which takes our sessions' settings away, durable commits among them: name the server \
        itself, or a pool with pool_mode=session";
    let looking = async {
        let one = pool.get().await?;
        // A role may be allowed one connection: then nobody shares it.
        let Ok(other) = pool.get().await else { return Ok(false) };
        let first = backend(&one).await?;
        other.batch_execute("BEGIN").await?;
        let held = backend(&other).await?;
        // Two clients on one backend; or one client on two.
        let shared = held == first || backend(&one).await? != first;
        other.batch_execute("ROLLBACK").await?;
        Ok::<_, CatalogError>(shared)
    };
    let looked = timeout(QUERY_TIMEOUT, looking).await.map_err(|late| CatalogError::unavailable("connecting", late))?;
    match looked? {
        true => Err(OpenError::BadUrl { problem: WHAT.to_owned() }),
        false => Ok(()),
    }
}

/// Which of the server's processes answers, asked without a prepared statement.
async fn backend(client: &Object) -> Result<Option<String>> {
    let answer = client.simple_query("SELECT pg_backend_pid()").await?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(row.map(str::to_owned))
}

/// Runs a call on a connection, within bounds.
pub(super) async fn on<T, F: Future<Output = Result<T>>>(
    pool: &Pool,
    doing: &'static str,
    call: impl FnOnce(Object) -> F,
) -> Result<T> {
    let bounded = timeout(QUERY_TIMEOUT, async { call(pool.get().await?).await }).await;
    let done = bounded.map_err(|late| CatalogError::unavailable(doing, late))?;
    done.map_err(|error| error.while_doing(doing))
}

/// What the server said. Its details, which can repeat a row's values, are
/// left out.
#[derive(Debug, thiserror::Error)]
#[error("{message} ({})", code.code())]
struct Refusal {
    message: String,
    code: SqlState,
}

/// Another transaction made the same rows first.
#[derive(Debug, thiserror::Error)]
#[error("another transaction was faster")]
pub(super) struct Overtaken;

/// Whether the call failed for another transaction's sake, so that it may
/// simply run again.
pub(super) fn may_run_again(error: &CatalogError) -> bool {
    let CatalogError::Unavailable { source, .. } = error else { return false };
    let refused = source.downcast_ref::<Refusal>();
    let collided = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
    source.is::<Overtaken>() || refused.is_some_and(|refusal| collided.contains(&refusal.code))
}

impl From<tokio_postgres::Error> for CatalogError {
    fn from(error: tokio_postgres::Error) -> Self {
        const DOING: &str = "asking PostgreSQL";
        match error.as_db_error() {
            Some(said) => {
                Self::unavailable(DOING, Refusal { message: said.message().to_owned(), code: said.code().clone() })
            }
            None => Self::unavailable(DOING, error),
        }
    }
}

impl From<PoolError> for CatalogError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => error.into(),
            other => Self::unavailable("connecting to PostgreSQL", other),
        }
    }
}
