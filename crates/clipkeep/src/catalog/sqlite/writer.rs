//! The one writer. Writes that wait while another commits share the next
//! commit, and with it one sync of the disk; each has a savepoint of its own,
//! so that one that fails takes nothing else along.

use std::{io, sync::Arc, time::Duration};

use rusqlite::Connection;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::super::{CatalogError, Result};

/// How many writes may wait.
const QUEUE: usize = 1024;
/// How many writes share a commit.
const BATCH: usize = 256;
/// How long a caller waits for its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A write that waits for its turn.
struct Write {
    /// Runs it inside a savepoint.
    run: Box<dyn FnOnce(&Connection) -> Done + Send>,
    outlives: Outlives,
}

/// What a write must survive once it is answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outlives {
    /// The process.
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
            let mut set_for = Outlives::PowerCut;
            while let Some(first) = waiting.blocking_recv() {
                let batch = gather(first, &mut waiting);
                set_for = commit_together(&connection, batch, set_for);
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
        self.queue(doing, Outlives::PowerCut, work).await
    }

    /// The same for what need not outlive the machine, as a lease: whoever held
    /// it is gone then, too. Spares the disk a sync.
    pub(super) async fn write_unsynced<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.queue(doing, Outlives::Kill, work).await
    }

    async fn queue<T: Send + 'static>(
        &self,
        doing: &'static str,
        outlives: Outlives,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let run = Box::new(move |connection: &Connection| {
            let result = work(connection);
            let keep = result.is_ok();
            let answer: Answer = Box::new(move |committed| {
                // A caller that has gone away needs no answer.
                let _ = sender.send(result.and_then(|value| match committed {
                    Ok(()) => Ok(value),
                    Err(error) => Err(CatalogError::unavailable(doing, Arc::clone(error))),
                }));
            });
            Done { keep, answer }
        });
        let gave_up = |problem: &str| CatalogError::unavailable(doing, io::Error::other(problem));
        let answered = async {
            self.queue.send(Write { run, outlives }).await.map_err(|_| gave_up("the writer has stopped"))?;
            receiver.await.map_err(|_| gave_up("the transaction was given up"))?
        };
        let answer = timeout(PATIENCE, answered).await.map_err(|_| gave_up("the writer does not answer"))?;
        answer.map_err(|error| error.while_doing(doing))
    }
}

fn gather(first: Write, waiting: &mut mpsc::Receiver<Write>) -> Vec<Write> {
    let mut batch = vec![first];
    while batch.len() < BATCH {
        let Ok(next) = waiting.try_recv() else { break };
        batch.push(next);
    }
    batch
}

/// Commits a batch, synced if one of it asks for that. Takes and answers for
/// what the connection is set.
fn commit_together(connection: &Connection, batch: Vec<Write>, mut set_for: Outlives) -> Outlives {
    let outlives = batch.iter().map(|write| write.outlives).max().unwrap_or(set_for);
    if outlives != set_for {
        if let Err(error) = sync_for(connection, outlives) {
            // The callers see that their write was given up.
            tracing::error!(%error, "SQLite does not take its settings");
            return set_for;
        }
        set_for = outlives;
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
    set_for
}

fn sync_for(connection: &Connection, outlives: Outlives) -> rusqlite::Result<()> {
    connection.execute_batch(match outlives {
        Outlives::Kill => "PRAGMA synchronous = NORMAL",
        Outlives::PowerCut => "PRAGMA synchronous = FULL",
    })
}

/// Runs and commits a batch. On a full disk SQLite may take back the whole
/// transaction by itself; then closing the savepoint fails, and all of it does.
fn run(connection: &Connection, batch: Vec<Write>, answers: &mut Vec<Answer>) -> rusqlite::Result<()> {
    let execute = |sql: &str| connection.prepare_cached(sql)?.execute(()).map(|_| ());
    execute("BEGIN IMMEDIATE")?;
    for write in batch {
        execute("SAVEPOINT own")?;
        let Done { keep, answer } = (write.run)(connection);
        answers.push(answer);
        if !keep {
            execute("ROLLBACK TO own")?;
        }
        execute("RELEASE own")?;
    }
    execute("COMMIT")
}
