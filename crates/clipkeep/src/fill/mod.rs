//! Fill: bringing a clip's bytes from its source to the store.
//!
//! A webhook, the sweep and a viewer are three ways to start the same fill; any
//! number of them at once join the one that runs. A lease in the catalogue
//! picks the node that fills, the registry joins callers on this node.
//!
//! - `task` is one fill, top to bottom.
//! - `fetch` brings the source's bytes into the local file.
//! - `settle` turns what was read into a confirmed object and a `stored` row.
//! - `adopt` does the same for what the provider wrote into the store itself.
//! - `lease` holds the right to do so.
//! - `remove` ends a clip.

mod adopt;
mod caps;
mod fetch;
mod lease;
pub mod local;
mod registry;
mod remove;
mod settle;
mod task;
mod through;

use std::{path::PathBuf, sync::Arc, time::Duration};

use clipkeep_core::{
    id::ClipKey,
    time::{Clock, Timestamp},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    caps::Caps,
    registry::{Registry, Running},
};
pub use self::{
    registry::{FillEnd, FillHandle},
    remove::delete,
    through::Through,
};
use crate::{
    catalog::{Catalog, CatalogError, Claim, Fault, NodeId},
    source::SourceClient,
    store::Store,
    telemetry::Metrics,
};

/// What bounds and paces fills.
#[derive(Clone, Debug)]
pub struct FillSettings {
    /// How many fills run at once on this node.
    pub concurrency: usize,
    /// How many connections one fill opens.
    pub connections: usize,
    /// How many connections to sources are open at once.
    pub all_connections: usize,
    /// How many of them go to one host.
    pub host_connections: usize,
    /// How long a lease holds without renewal.
    pub lease: Duration,
    /// The first delay between attempts; each next one doubles.
    pub retry_base: Duration,
    /// The longest delay between attempts.
    pub retry_max: Duration,
    /// After how many answers without the clip a source is gone.
    pub gone_attempts: u32,
    /// After how long without success any source counts as gone.
    pub lost_after: Duration,
    /// How long a provider may take to write a clip into our own store.
    pub adopt_within: Duration,
    /// The largest clip that is accepted, in bytes.
    pub max_clip_size: u64,
    /// The longest pause between looks for due clips.
    pub sweep_interval: Duration,
    /// Whether MP4s are served with their `moov` first.
    pub fast_start: bool,
    /// Where clips are kept while they are on their way.
    pub spool: PathBuf,
}

/// What the engine works with.
pub struct FillParts {
    /// Who we are, as written into leases.
    pub node: NodeId,
    /// Bounds and pace.
    pub settings: FillSettings,
    /// Rows and queue.
    pub catalog: Arc<dyn Catalog>,
    /// Where clips go.
    pub store: Arc<Store>,
    /// Where clips come from.
    pub source: SourceClient,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// The fill engine. Cheap to clone.
#[derive(Clone)]
pub struct FillEngine(Arc<Inner>);

struct Inner {
    parts: FillParts,
    registry: Registry,
    /// Held from a claim until its fill is in the registry: a viewer who asks
    /// for a clip that was claimed as due joins that very fill.
    claiming: tokio::sync::Mutex<()>,
    caps: Caps,
    slots: Arc<Semaphore>,
    /// Fills that a viewer waits for have slots of their own.
    viewer_slots: Arc<Semaphore>,
    wake: Notify,
    /// No new fills from here on.
    closing: CancellationToken,
    /// Running fills must let go from here on.
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Inner {
    /// The claim on a clip whose fill is in the registry as `entry`.
    async fn claim(&self, key: &ClipKey, entry: &Running) -> Result<Option<Claim>, CatalogError> {
        let parts = &self.parts;
        let _claiming = self.claiming.lock().await;
        let claim = parts.catalog.claim(key, &parts.node, parts.clock.now(), parts.settings.lease).await;
        let given = entry.claimed();
        Ok(claim?.or(given))
    }
}

impl FillEngine {
    /// An engine that does nothing until [`FillEngine::run`] or
    /// [`FillEngine::join`] is called.
    pub fn new(parts: FillParts) -> Self {
        let [slots, viewer_slots] = [(); 2].map(|()| Arc::new(Semaphore::new(parts.settings.concurrency)));
        Self(Arc::new(Inner {
            caps: Caps::new(parts.settings.all_connections, parts.settings.host_connections),
            parts,
            registry: Registry::default(),
            claiming: tokio::sync::Mutex::default(),
            slots,
            viewer_slots,
            wake: Notify::new(),
            closing: CancellationToken::new(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    /// Says that there may be due work. Never blocks.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// How many fills run on this node now.
    pub fn running(&self) -> usize {
        self.0.registry.len()
    }

    /// The fill of `key`, if it runs on this node.
    pub fn find(&self, key: &ClipKey) -> Option<FillHandle> {
        self.0.registry.find(key)
    }

    /// The clip was deleted: its fill, should one run here, ends now.
    pub fn let_go(&self, key: &ClipKey) {
        self.0.registry.let_go(key);
    }

    /// Starts the fill of `key`, due or not, or joins the one that runs here.
    /// A backlog does not hold it up; a caller who leaves does not stop it.
    pub fn join(&self, key: &ClipKey) -> FillHandle {
        let entry = match self.0.registry.enter(key) {
            Ok(entry) => entry,
            Err(running) => return running,
        };
        let handle = entry.handle();
        let (engine, key) = (self.clone(), key.clone());
        self.0.tasks.spawn(async move {
            let Some(slot) = engine.free(&engine.0.viewer_slots).await else { return entry.finish(FillEnd::LetGo) };
            let claim = engine.0.claim(&key, &entry).await;
            let end = match claim {
                Ok(Some(claim)) => task::run(&engine.0, claim, &entry).await,
                Ok(None) => FillEnd::Nothing,
                Err(error) => {
                    tracing::warn!(clip = %key, error = &error as &dyn std::error::Error, "a fill did not start");
                    FillEnd::LetGo
                }
            };
            entry.finish(end);
            drop(slot);
            // It may be due again.
            engine.wake();
        });
        handle
    }

    /// Fills what is due until [`FillEngine::close`], within the bounds.
    pub async fn run(&self) {
        let inner = &self.0;
        while !inner.closing.is_cancelled() {
            let pause = match self.start_due().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot look for due clips");
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = inner.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = inner.closing.cancelled() => {}
            }
        }
    }

    /// Starts due fills while there are free slots; answers how long to rest.
    async fn start_due(&self) -> Result<Duration, CatalogError> {
        const BATCH: usize = 32;
        let inner = &self.0;
        let parts = &inner.parts;
        loop {
            let Some(first) = self.free(&inner.slots).await else { return Ok(Duration::ZERO) };
            let mut slots = vec![first];
            while slots.len() < BATCH {
                let Ok(slot) = Arc::clone(&inner.slots).try_acquire_owned() else { break };
                slots.push(slot);
            }
            let now = parts.clock.now();
            let limit = u32::try_from(slots.len()).unwrap_or(u32::MAX);
            let _claiming = inner.claiming.lock().await;
            let claims = parts.catalog.claim_due(&parts.node, now, parts.settings.lease, limit).await?;
            let exhausted = claims.len() < slots.len();
            for (claim, slot) in claims.into_iter().zip(slots) {
                self.start_claimed(claim, slot);
            }
            if exhausted {
                return self.rest(now).await;
            }
        }
    }

    async fn free(&self, slots: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            slot = Arc::clone(slots).acquire_owned() => slot.ok(),
            () = self.0.closing.cancelled() => None,
        }
    }

    async fn rest(&self, now: Timestamp) -> Result<Duration, CatalogError> {
        let longest = self.0.parts.settings.sweep_interval;
        let next = self.0.parts.catalog.next_due().await?;
        Ok(next.map_or(longest, |due| due.since(now).clamp(Duration::from_millis(10), longest)))
    }

    fn start_claimed(&self, claim: Claim, slot: OwnedSemaphorePermit) {
        let Ok(entry) = self.0.registry.enter(&claim.lease.key) else {
            if let Some(claim) = self.0.registry.give(claim) {
                self.0.tasks.spawn(give_back(Arc::clone(&self.0), claim));
            }
            return;
        };
        entry.claimed();
        let inner = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            let end = task::run(&inner, claim, &entry).await;
            entry.finish(end);
            drop(slot);
            inner.wake.notify_one();
        });
    }

    /// Starts no more fills; waits up to `grace` for those that run, then makes
    /// them let go: their clips are `waiting` again, for this node or another.
    pub async fn close(&self, grace: Duration) {
        let inner = &self.0;
        inner.closing.cancel();
        inner.tasks.close();
        if tokio::time::timeout(grace, inner.tasks.wait()).await.is_err() {
            inner.stopping.cancel();
            inner.tasks.wait().await;
        }
    }
}

/// Gives back a claim on a clip whose fill runs here already: our own lease ran
/// out under it, and it has not noticed yet.
async fn give_back(inner: Arc<Inner>, claim: Claim) {
    let now = inner.parts.clock.now();
    let due = now.plus(Duration::from_secs(1));
    let given = inner
        .parts
        .catalog
        .retry_later(&claim.lease, now, due, Fault::Elsewhere, "its fill runs on this node already")
        .await;
    if let Err(error) = given {
        tracing::warn!(clip = %claim.lease.key, error = &error as &dyn std::error::Error, "cannot give back a claim");
    }
}
