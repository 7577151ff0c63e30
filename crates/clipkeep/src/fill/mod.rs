//! Fill: bringing a clip's bytes from its source to the store.
//!
//! A webhook, the sweep and a viewer are three ways to start the same fill; any
//! number of them at once join the one that runs. A lease in the catalogue
//! picks the node that fills, the registry joins callers on this node.
//!
//! - `due` starts what is due, fresh clips and backlog side by side.
//! - `task` is one fill, top to bottom.
//! - `fetch` brings the source's bytes into the local file.
//! - `name` gives a clip the name that its bytes make right.
//! - `settle` turns what was read into a confirmed object and a `stored` row.
//! - `share` lets a clip refer to bytes that are stored already.
//! - `inbox` keeps what came as data until it is filled.
//! - `adopt` does the same for what the provider wrote into the store itself.
//! - `lease` holds the right to do so.
//! - `arrival` tells of what was stored.
//! - `remove` ends a clip.

mod adopt;
mod attempt;
mod due;
mod fetch;
mod finalize;
mod inbox;
mod lease;
mod limits;
pub mod local;
mod name;
mod passthrough;
mod rate_limit;
mod registry;
mod remove;
mod share;
mod steady_clock;
mod stored_notice;
mod task;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use clipkeep_core::{id::ClipKey, time::Clock};
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::{fetch::random, inbox::name as inline_name};
pub use self::{
    inbox::{Inbox, InboxError},
    passthrough::Passthrough,
    registry::{FillEnd, FillHandle, Progress},
    remove::{NotRemoved, clear_partials, delete, objects as remove_objects},
    stored_notice::{StoredNotice, StoredNotices},
};
use self::{
    limits::ConnectionLimits,
    rate_limit::RateLimiter,
    registry::{Registry, Running},
    steady_clock::SteadyClock,
};
use crate::{
    catalog::{Catalog, CatalogError, Claim, NodeId},
    custody::Custody,
    ffmpeg::Ffmpeg,
    provider::Providers,
    source::SourceClient,
    store::Store,
    telemetry::Metrics,
    usage::Usage,
};

/// What bounds and paces fills.
#[derive(Clone, Debug)]
pub struct FillSettings {
    /// How many fills run at once on this node.
    pub concurrency: usize,
    /// How many of them may be backlog.
    pub backfill_concurrency: usize,
    /// How many bytes a second are read for backlog that nobody watches.
    pub backfill_rate: Option<u64>,
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
    pub not_found_attempts: u32,
    /// How long a source may be missing, however often it was asked for.
    pub not_found_timeout: Duration,
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
    /// Whether clips of one tenant whose bytes are equal share one object.
    pub share_objects: bool,
    /// Where clips are kept while they are on their way.
    pub partials: PathBuf,
}

/// What the engine works with.
pub struct FillParts {
    /// Who we are, as written into leases.
    pub node: NodeId,
    /// Bounds and pace.
    pub settings: FillSettings,
    /// Rows and queue.
    pub catalog: Arc<dyn Catalog>,
    pub store: Arc<Store>,
    pub custody: Arc<Custody>,
    pub source: SourceClient,
    /// Who generates: some sign their own files' URLs for us.
    pub providers: Arc<Providers>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    /// What is read from sources, by clip.
    pub usage: Arc<Usage>,
    /// Tells what we do not read ourselves, where it is there.
    pub ffmpeg: Option<Arc<Ffmpeg>>,
    /// Where it tells of what it stored, if anybody listens.
    pub stored_notices: Option<StoredNotices>,
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
    connection_limits: ConnectionLimits,
    /// By which leases are taken over.
    steady: SteadyClock,
    slots: Arc<Semaphore>,
    /// How many of the slots backlog may take.
    backlog_slots: Arc<Semaphore>,
    /// Held by whoever fills a suspect: one at a time.
    suspect_slot: Arc<Semaphore>,
    /// Whether the odd slot is the backlog's next time.
    backlogs_turn: AtomicBool,
    rate_limit: RateLimiter,
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
        let (now, lease) = self.steady.take(&*parts.clock);
        let claim = parts.catalog.claim(key, &parts.node, now, lease).await;
        let given = entry.claimed();
        Ok(claim?.or(given))
    }
}

impl FillEngine {
    /// An engine that does nothing until [`FillEngine::run`] or
    /// [`FillEngine::join`] is called.
    pub fn new(parts: FillParts) -> Self {
        let [slots, viewer_slots] = [(); 2].map(|()| Arc::new(Semaphore::new(parts.settings.concurrency)));
        let backlog_slots = Arc::new(Semaphore::new(parts.settings.backfill_concurrency));
        let rate_limit = RateLimiter::new(parts.settings.backfill_rate);
        Self(Arc::new(Inner {
            steady: SteadyClock::new(parts.settings.lease),
            connection_limits: ConnectionLimits::new(parts.settings.all_connections, parts.settings.host_connections),
            parts,
            registry: Registry::default(),
            claiming: tokio::sync::Mutex::default(),
            slots,
            backlog_slots,
            suspect_slot: Arc::new(Semaphore::new(1)),
            backlogs_turn: AtomicBool::new(false),
            rate_limit,
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
    pub fn cancel(&self, key: &ClipKey) {
        self.0.registry.cancel(key);
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
            let Some(slot) = engine.free(&engine.0.viewer_slots).await else { return entry.finish(FillEnd::Abandoned) };
            let claim = engine.0.claim(&key, &entry).await;
            let end = match claim {
                Ok(Some(claim)) => task::run(&engine.0, claim, &entry).await,
                Ok(None) => FillEnd::Nothing,
                Err(error) => {
                    tracing::warn!(clip = %key, error = &error as &dyn std::error::Error, "a fill did not start");
                    FillEnd::Abandoned
                }
            };
            entry.finish(end);
            drop(slot);
            // It may be due again.
            engine.wake();
        });
        handle
    }

    /// Starts no more fills; waits up to `grace` for those that run, then makes
    /// them let go: their clips are `waiting` again, for this node or another.
    pub async fn close(&self, grace: Duration) {
        let inner = &self.0;
        inner.closing.cancel();
        // A claim that is on its way becomes a fill; none comes after it.
        drop(inner.claiming.lock().await);
        inner.tasks.close();
        if tokio::time::timeout(grace, inner.tasks.wait()).await.is_err() {
            inner.stopping.cancel();
            inner.tasks.wait().await;
        }
    }
}
