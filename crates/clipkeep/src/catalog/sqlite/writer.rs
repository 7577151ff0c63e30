//! The one writer. Writes that wait while another commits share the next
//! commit, and with it one sync of the disk; each has a savepoint of its own,
//! so that one that fails takes nothing else along.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    super::{CatalogError, Result},
    is_busy,
};

/// How many writes may wait.
const QUEUE: usize = 1024;
/// How many writes share a commit.
const BATCH: usize = 256;
/// How long a caller waits for its answer.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long writes wait for another process to let go of the database: all but
/// webhooks, whose senders try again by themselves.
const LOCK_TIMEOUT: Duration = Duration::from_secs(25);

/// A write that waits for its turn.
struct Write {
    job: Box<dyn Job>,
    outlives: Outlives,
    /// Until when it waits for another process's lock.
    until: Instant,
}

/// What is written, and who waits for it.
trait Job: Send {
    /// Runs it inside a savepoint.
    fn run(self: Box<Self>, connection: &Connection) -> Done;
    /// Tells the caller why it never ran.
    fn refuse(self: Box<Self>, why: &Arc<rusqlite::Error>);
}

struct Task<T, W> {
    doing: &'static str,
    work: W,
    caller: oneshot::Sender<Result<T>>,
}

impl<T: Send + 'static, W: FnOnce(&Connection) -> Result<T> + Send> Job for Task<T, W> {
    fn run(self: Box<Self>, connection: &Connection) -> Done {
        let Self { doing, work, caller } = *self;
        let result = work(connection);
        let keep = result.is_ok();
        let answer: Answer = Box::new(move |committed| {
            // A caller that has gone away needs no answer.
            let _ = caller.send(result.and_then(|value| match committed {
                Ok(()) => Ok(value),
                Err(error) => Err(CatalogError::unavailable(doing, Arc::clone(error))),
            }));
        });
        Done { keep, answer }
    }

    fn refuse(self: Box<Self>, why: &Arc<rusqlite::Error>) {
        let _ = self.caller.send(Err(CatalogError::unavailable(self.doing, Arc::clone(why))));
    }
}

/// What a write must survive once it is answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outlives {
    Kill,
    /// The machine: its commit is synced.
    PowerCut,
}

/// Tells the caller, once it is known whether the commit is on disk.
type Answer = Box<dyn FnOnce(Result<(), &Arc<rusqlite::Error>>) + Send>;

struct Done {
    keep: bool,
    answer: Answer,
}

/// Hands writes to the writer's thread. The thread ends, all writes done, when
/// this is dropped.
pub(super) struct Writer {
    queue: mpsc::Sender<Write>,
}

impl Writer {
    /// Starts the thread, which owns the connection.
    pub(super) fn start(connection: Connection) -> Result<Self> {
        let (queue, mut waiting) = mpsc::channel(QUEUE);
        let run = move || {
            let (mut set_for, mut left) = (Outlives::PowerCut, Vec::new());
            loop {
                if left.is_empty() {
                    let Some(first) = waiting.blocking_recv() else { return };
                    left.push(first);
                }
                gather(&mut left, &mut waiting);
                (set_for, left) = commit_together(&connection, left, set_for);
            }
        };
        let thread = std::thread::Builder::new().name("sqlite-writer".to_owned()).spawn(run);
        thread.map_err(|error| CatalogError::unavailable("starting the SQLite writer", error))?;
        Ok(Self { queue })
    }

    /// Runs `work` in a transaction and answers when it is on disk. If the
    /// caller is dropped, the write may happen or not; it is never half done.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.queue(doing, Outlives::PowerCut, LOCK_TIMEOUT, work).await
    }

    /// The same for a caller who rather hears soon that it cannot be.
    pub(super) async fn write_soon<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.queue(doing, Outlives::PowerCut, Duration::ZERO, work).await
    }

    /// The same for what need not outlive the machine, as a lease: whoever held
    /// it is gone then, too. Spares the disk a sync.
    pub(super) async fn write_unsynced<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.queue(doing, Outlives::Kill, LOCK_TIMEOUT, work).await
    }

    async fn queue<T: Send + 'static>(
        &self,
        doing: &'static str,
        outlives: Outlives,
        locked_out: Duration,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (caller, receiver) = oneshot::channel();
        let write = Write { job: Box::new(Task { doing, work, caller }), outlives, until: Instant::now() + locked_out };
        let gave_up = |problem: &str| CatalogError::unavailable(doing, io::Error::other(problem));
        let answered = async {
            self.queue.send(write).await.map_err(|_| gave_up("the writer has stopped"))?;
            receiver.await.map_err(|_| gave_up("the transaction was given up"))?
        };
        let answer = timeout(QUEUE_TIMEOUT, answered).await.map_err(|_| gave_up("the writer does not answer"))?;
        answer.map_err(|error| error.while_doing(doing))
    }
}

fn gather(batch: &mut Vec<Write>, waiting: &mut mpsc::Receiver<Write>) {
    while batch.len() < BATCH {
        let Ok(next) = waiting.try_recv() else { break };
        batch.push(next);
    }
}

/// Commits a batch, synced if one of it asks for that. Takes and answers for
/// what the connection is set; answers what is to be tried again, because
/// another process has the database.
fn commit_together(connection: &Connection, batch: Vec<Write>, mut set_for: Outlives) -> (Outlives, Vec<Write>) {
    let outlives = batch.iter().map(|write| write.outlives).max().unwrap_or(set_for);
    if outlives != set_for {
        if let Err(error) = sync_for(connection, outlives) {
            // The callers see that their write was given up.
            tracing::error!(%error, "SQLite does not take its settings");
            return (set_for, Vec::new());
        }
        set_for = outlives;
    }
    if let Err(error) = execute(connection, "BEGIN IMMEDIATE") {
        return (set_for, put_off(batch, error));
    }
    let mut answers = Vec::with_capacity(batch.len());
    let committed = run(connection, batch, &mut answers).map_err(Arc::new);
    if committed.is_err() && !connection.is_autocommit() {
        // Should even this fail, the next BEGIN does, and its callers hear it.
        let _ = connection.execute_batch("ROLLBACK");
    }
    for answer in answers {
        answer(committed.as_ref().map(|&()| ()));
    }
    (set_for, Vec::new())
}

/// Those that wait on, if it is another process that has the database; the
/// others hear why they did not run.
fn put_off(batch: Vec<Write>, error: rusqlite::Error) -> Vec<Write> {
    let (now, is_locked) = (Instant::now(), is_busy(&error));
    if is_locked {
        tracing::warn!(writes = batch.len(), "another process holds the write lock of the SQLite file");
    }
    let error = Arc::new(error);
    let (left, refused): (Vec<_>, Vec<_>) = batch.into_iter().partition(|write| is_locked && now < write.until);
    refused.into_iter().for_each(|write| write.job.refuse(&error));
    left
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(()).map(|_| ())
}

fn sync_for(connection: &Connection, outlives: Outlives) -> rusqlite::Result<()> {
    connection.execute_batch(match outlives {
        Outlives::Kill => "PRAGMA synchronous = NORMAL",
        Outlives::PowerCut => "PRAGMA synchronous = FULL",
    })
}

/// Runs a batch in the transaction that was begun, and commits. On a full disk SQLite may take back the whole
/// transaction by itself; then closing the savepoint fails, and all of it does.
fn run(connection: &Connection, batch: Vec<Write>, answers: &mut Vec<Answer>) -> rusqlite::Result<()> {
    for write in batch {
        execute(connection, "SAVEPOINT own")?;
        let Done { keep, answer } = write.job.run(connection);
        answers.push(answer);
        if !keep {
            execute(connection, "ROLLBACK TO own")?;
        }
        execute(connection, "RELEASE own")?;
    }
    execute(connection, "COMMIT")
}
