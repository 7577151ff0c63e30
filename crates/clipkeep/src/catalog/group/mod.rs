//! Webhooks that come at once share one commit: while a batch is being
//! committed, the next one gathers. One sync of the disk, or one round of
//! statements, then serves hundreds of senders.

use std::{error::Error, sync::Arc, time::Duration};

use clipkeep_core::generation::HookRecord;
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Catalog, CatalogError, HookOutcome, Result};

/// How many batches are on their way at once: while one commits, the next is
/// brought to the database.
const MAX_COMMITS_IN_FLIGHT: usize = 2;

const DOING: &str = "recording a webhook";

/// How much a [`HookWriter`] takes on.
#[derive(Clone, Copy, Debug)]
pub struct HookLimits {
    /// How many webhooks may wait. One more is refused at once.
    pub queue: usize,
    /// How many webhooks share a commit.
    pub batch: usize,
    /// How long a webhook waits for its commit before its sender is told to
    /// try again.
    pub patience: Duration,
}

impl Default for HookLimits {
    fn default() -> Self {
        Self { queue: 4096, batch: 512, patience: Duration::from_secs(10) }
    }
}

struct Waiting {
    hook: HookRecord,
    answer: oneshot::Sender<Result<HookOutcome>>,
}

/// Commits webhooks together.
pub struct HookWriter {
    queue: mpsc::Sender<Waiting>,
    patience: Duration,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
    trouble: Arc<LastFailure>,
}

/// Since when no webhook could be committed, and when that was seen last.
#[derive(Default)]
struct LastFailure(Mutex<Option<Instant>>);

/// For how long a failure says something of the next webhook.
const FAILING_FOR: Duration = Duration::from_secs(10);

impl HookWriter {
    /// Starts the task that commits. Needs a tokio runtime.
    pub fn start(catalog: Arc<dyn Catalog>, limits: HookLimits) -> Self {
        let (queue, waiting) = mpsc::channel(limits.queue.max(1));
        let stop = CancellationToken::new();
        let trouble = Arc::new(LastFailure::default());
        let task = tokio::spawn(run(catalog, waiting, limits.batch.max(1), stop.clone(), Arc::clone(&trouble)));
        Self { queue, patience: limits.patience, stop, task: Mutex::new(Some(task)), trouble }
    }

    /// Whether the last webhooks could not be committed, moments ago.
    pub fn is_failing(&self) -> bool {
        self.trouble.0.lock().is_some_and(|seen| seen.elapsed() < FAILING_FOR)
    }

    /// Commits a webhook: `Ok` means that it is on disk. An error may still be
    /// followed by a commit, which is harmless: sent again, the webhook is a
    /// duplicate. Dropping the future does not undo anything either.
    pub async fn record(&self, hook: HookRecord) -> Result<HookOutcome> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Waiting { hook, answer }).map_err(|error| {
            CatalogError::unavailable(
                DOING,
                match error {
                    mpsc::error::TrySendError::Full(_) => "too many webhooks wait",
                    mpsc::error::TrySendError::Closed(_) => "shutting down",
                },
            )
        })?;
        let answered = timeout(self.patience, answered).await;
        let answered = answered.map_err(|late| {
            *self.trouble.0.lock() = Some(Instant::now());
            CatalogError::unavailable(DOING, late)
        })?;
        answered.map_err(|gone| CatalogError::unavailable(DOING, gone))?
    }

    /// Refuses new webhooks, commits those that wait, and returns.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        let task = self.task.lock().take();
        if let Some(task) = task {
            // A task that panicked has nothing left to drain.
            let _ = task.await;
        }
    }
}

async fn run(
    catalog: Arc<dyn Catalog>,
    mut waiting: mpsc::Receiver<Waiting>,
    batch: usize,
    stop: CancellationToken,
    trouble: Arc<LastFailure>,
) {
    let mut gathered = Vec::with_capacity(batch);
    let flights = Arc::new(Semaphore::new(MAX_COMMITS_IN_FLIGHT));
    while let Ok(flight) = Arc::clone(&flights).acquire_owned().await {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !waiting.is_closed() => waiting.close(),
            count = waiting.recv_many(&mut gathered, batch) => {
                if count == 0 {
                    break;
                }
                let (catalog, gathered) = (Arc::clone(&catalog), std::mem::take(&mut gathered));
                let trouble = Arc::clone(&trouble);
                tokio::spawn(async move {
                    let failed = commit(&*catalog, gathered).await;
                    *trouble.0.lock() = failed.then(Instant::now);
                    drop(flight);
                });
            }
        }
    }
    // Those that still fly land before this returns: they hold permits.
    let _ = flights.acquire_many(MAX_COMMITS_IN_FLIGHT as u32).await;
}

/// Commits a batch; answers whether nothing of it could be.
async fn commit(catalog: &dyn Catalog, batch: Vec<Waiting>) -> bool {
    let (hooks, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.hook, one.answer)).unzip();
    match catalog.record_hooks(&hooks).await {
        Ok(outcomes) => {
            for (answer, outcome) in answers.into_iter().zip(outcomes) {
                let _ = answer.send(Ok(outcome));
            }
        }
        Err(CatalogError::Unavailable { doing, source }) => {
            let source = Arc::new(Shared(source));
            for answer in answers {
                let _ = answer.send(Err(CatalogError::unavailable(doing, Arc::clone(&source))));
            }
            return true;
        }
        // One of them is to blame; the others must not suffer for it.
        Err(_) => {
            for (answer, hook) in answers.into_iter().zip(&hooks) {
                let outcome = catalog.record_hooks(std::slice::from_ref(hook)).await;
                let outcome = outcome.map(|mut outcomes| outcomes.pop().unwrap_or(HookOutcome::Duplicate));
                let _ = answer.send(outcome);
            }
        }
    }
    false
}

/// One failure, told to everyone who waited.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Shared(Box<dyn Error + Send + Sync>);

#[cfg(test)]
pub(crate) mod tests;
