//! Every shared handle of a running node, built once from the configuration.

mod leftovers;
mod settings;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use clipkeep_core::{
    config::{Config, StoreUrl},
    cost::PriceList,
    event::{Event, EventType, Position},
    id::ClipKey,
    receipt::ReceiptKey,
    time::Clock,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    leftovers::clear,
    settings::{fill_settings, sweep_settings},
};
use crate::{
    auth::Authenticator,
    body_spool::BodySpool,
    cache::{DiskCache, MemoryCache},
    catalog::{
        Catalog, CatalogError, Deletion,
        group::{HookLimits, HookWriter},
        open::open_configured,
    },
    clock::SystemClock,
    costs::{BudgetWatch, price_lists},
    custody::Custody,
    data_dir::{DataDir, Role},
    descriptors,
    doctor::Check,
    ffmpeg::Ffmpeg,
    fill::{self, FillEngine, FillParts, Inbox, StoredNotices},
    hook_memory::HookMemory,
    intake::Intake,
    keys,
    links::Links,
    node,
    outbox::{self, EventStream, OutboxParts, OutboxSettings},
    poster::{PosterParts, Posters},
    provider::{FalRelay, Providers},
    sessions::Sessions,
    shared_probe::SharedProbe,
    shares::Shares,
    source::{SourceClient, SourceSettings},
    store::{Store, StoreError, StoreTarget, UploadLimits},
    sweep::{Sweep, SweepParts},
    telemetry::Metrics,
    tls,
    usage::Usage,
    vitals::Vitals,
};

pub use crate::final_urls::FinalUrls;

/// How much memory may go to clips that are at hand without asking the
/// catalogue.
const MEMORY_CACHE_SIZE: u64 = 64 * 1024 * 1024;
/// The same for what was only looked at.
const PEEK_MEMORY: u64 = 4 * 1024 * 1024;
/// The same for posters, which are in it themselves.
const POSTER_MEMORY: u64 = 32 * 1024 * 1024;
/// How often everything is looked at that doctor looks at.
const HEALTH_EVERY: Duration = Duration::from_secs(30);
/// How much memory the bodies of calls to the API may take, all together.
const API_MEMORY: u64 = 128 * 1024 * 1024;
/// How often the node asks what changed, here or on another.
const EVENT_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How many changes it asks for at once.
const EVENT_POLL_BATCH: u32 = 500;

/// A node. `web` serves it, `cli` starts it.
pub struct App {
    /// Checked and complete.
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    /// Generations, clips, queue.
    pub catalog: Arc<dyn Catalog>,
    /// The way in for what providers say.
    pub intake: Arc<Intake>,
    pub store: Arc<Store>,
    /// Whose they are: the way to them for who writes or removes any.
    pub custody: Arc<Custody>,
    pub engine: FillEngine,
    /// What looks after the rest in the background.
    pub sweep: Sweep,
    /// Who generates: how their webhooks are believed, and how they are asked.
    pub providers: Arc<Providers>,
    /// The way to fal for what apps ask.
    pub relay: FalRelay,
    /// Places for calls to fal, which may go on without their callers.
    pub calls: Arc<Shares>,
    /// The disk that their bodies share.
    pub body_spool: Arc<BodySpool>,
    /// What signs and checks links.
    pub links: Links,
    /// What storage and egress cost.
    pub price_lists: Vec<PriceList>,
    /// How much a month may cost.
    pub budgets: Arc<BudgetWatch>,
    pub receipts: ReceiptKey,
    /// Where clips are for good.
    pub final_urls: FinalUrls,
    /// Clips at hand.
    pub memory_cache: MemoryCache,
    /// Clips that nobody fills, as a `HEAD` found them at their sources.
    pub peeks: MemoryCache,
    /// Posters at hand.
    pub poster_cache: MemoryCache,
    pub posters: Arc<Posters>,
    /// Copies of the bucket's objects on this disk.
    pub cache: DiskCache,
    pub metrics: Arc<Metrics>,
    /// Who got how much of which clip.
    pub usage: Arc<Usage>,
    /// What was heard of, for those who wait for it.
    pub event_stream: EventStream,
    /// Work that must outlive the request that started it.
    pub tasks: TaskTracker,
    /// Cancelled when the node begins to stop.
    pub stopping: CancellationToken,
    pub vitals: Vitals,
    /// The memory that webhooks share which are not verified yet.
    pub hook_memory: Arc<HookMemory>,
    /// The memory that bodies of calls to the API share.
    pub bodies: Arc<Shares>,
    /// Who may call.
    pub auth: Arc<Authenticator>,
    pub sessions: Sessions,
    /// What doctor says, for all who look at once.
    pub health: SharedProbe<Vec<Check>>,
    outbox: Arc<OutboxParts>,
    data_dir: DataDir,
    /// Where events stood when nothing was on the shelf yet.
    told_before: Position,
}

impl App {
    /// Opens everything the configuration names, as the one node of its data
    /// folder, or as a command beside it. Nothing runs yet.
    ///
    /// # Errors
    /// If the data folder, a key, the database or the store cannot be opened;
    /// the message says which, and what to do.
    pub async fn open(config: Config, role: Role) -> anyhow::Result<Arc<Self>> {
        tls::choose_ring();
        let keys = keys::load_or_create(&config)?;
        let data_dir = DataDir::take(&config.data, role).await?;
        let links = Links::new(&config, &keys.link_keys_text, &keys.internal_link_keys_text)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Arc::new(Metrics::new());
        let catalog = open_configured(&config).await?;
        let store = Arc::new(store_at(&config)?);
        let custody = Arc::new(Custody::new(Arc::clone(&catalog), Arc::clone(&store)));
        custody.begin().await?;
        fill::clear_partials(&*catalog, data_dir.partials()).await.context("clearing the partials folder")?;
        if data_dir.role() == Role::Node {
            clear(data_dir.stills()).await?;
            store.clear_staging().await?;
        }
        let (node, operations) = (node::name(), store.operations());
        let usage = Usage::new(Arc::clone(&catalog), operations, Arc::clone(&clock), Arc::clone(&metrics), &node);
        let providers = Arc::new(Providers::new(&config)?);
        let ffmpeg = config.ffmpeg.as_deref().and_then(Ffmpeg::find);
        // A command ends with its work: the node's sweep makes the posters of it.
        let draws = data_dir.role() == Role::Node && ffmpeg.is_some();
        let (stored_notices, arrived) = draws.then(|| StoredNotices::new(data_dir.stills())).unzip();
        let engine = FillEngine::new(FillParts {
            node: node.clone(),
            settings: fill_settings(&config, &data_dir),
            catalog: Arc::clone(&catalog),
            store: Arc::clone(&store),
            custody: Arc::clone(&custody),
            source: SourceClient::new(SourceSettings::of(&config), Arc::clone(&clock))?,
            providers: Arc::clone(&providers),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            usage: Arc::clone(&usage),
            ffmpeg: ffmpeg.clone(),
            stored_notices,
        });
        let posters = PosterParts {
            catalog: Arc::clone(&catalog),
            store: Arc::clone(&store),
            custody: Arc::clone(&custody),
            engine: engine.clone(),
            ffmpeg,
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            folder: data_dir.stills(),
        };
        let posters = Arc::new(Posters::new(posters, arrived));
        let hooks = HookWriter::start(Arc::clone(&catalog), HookLimits::default());
        let inbox = Inbox::new(Arc::clone(&custody), data_dir.partials());
        let intake = Arc::new(Intake::new(hooks, inbox, Arc::clone(&metrics)));
        let price_lists = price_lists(&config)?;
        let budgets = Arc::new(BudgetWatch::new(&config, &price_lists)?);
        let sweep = Sweep::new(SweepParts {
            settings: sweep_settings(&config),
            store: Arc::clone(&store),
            custody: Arc::clone(&custody),
            partials: data_dir.partials(),
            catalog: Arc::clone(&catalog),
            intake: Arc::clone(&intake),
            engine: engine.clone(),
            posters: Arc::clone(&posters),
            providers: Arc::clone(&providers),
            budgets: Arc::clone(&budgets),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
        });
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        // Commands that fill use sources, too.
        tasks.spawn({
            let (usage, stopping) = (Arc::clone(&usage), stopping.clone());
            async move { usage.run(&stopping).await }
        });
        let news = (Arc::clone(&catalog), Arc::clone(&custody), Arc::clone(&clock));
        let cache = DiskCache::new(data_dir.cache(), config.cache_size, Arc::clone(&store), news, tasks.clone());
        cache.take_over().await.context("taking over the cache folder")?;
        let auth = Arc::new(Authenticator::new(keys.admin_token, Arc::clone(&catalog), Arc::clone(&clock)));
        let told_before = catalog.last_event().await?;
        links.revoke_all(catalog.revocations(clock.now()).await?, clock.now());
        let outbox = OutboxParts {
            node,
            settings: OutboxSettings::new(config.lease, config.shutdown_grace),
            endpoints: config.event_endpoints.clone(),
            secret: keys.event_secret.expose().parse()?,
            http: outbox::client()?,
            urls: FinalUrls::new(&config),
            catalog: Arc::clone(&catalog),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
        };
        Ok(Arc::new(Self {
            intake,
            sweep,
            providers,
            relay: FalRelay::new(&config)?,
            calls: Shares::new(config.max_connections as u64),
            body_spool: Arc::new(BodySpool::new(data_dir.folder().to_owned(), config.proxy_disk)),
            final_urls: FinalUrls::new(&config),
            memory_cache: MemoryCache::new(MEMORY_CACHE_SIZE, descriptors::share(8)),
            peeks: MemoryCache::new(PEEK_MEMORY, usize::MAX),
            poster_cache: MemoryCache::new(POSTER_MEMORY, usize::MAX),
            posters,
            tasks,
            cache,
            stopping,
            sessions: Sessions::new(Arc::clone(&catalog), Arc::clone(&auth), Arc::clone(&clock)),
            health: SharedProbe::new(HEALTH_EVERY),
            auth,
            price_lists,
            budgets,
            receipts: keys.receipt_key.expose().parse()?,
            data_dir,
            event_stream: EventStream::new(told_before),
            vitals: Vitals::new(&config),
            hook_memory: HookMemory::new(config.hook_memory.max(config.hook_max_body)),
            bodies: Shares::new(API_MEMORY),
            outbox: Arc::new(outbox),
            told_before,
            config,
            clock,
            catalog,
            store,
            custody,
            engine,
            links,
            metrics,
            usage,
        }))
    }

    /// The folder that is this process's own, and goes with a command.
    pub fn data_dir(&self) -> &std::path::Path {
        self.data_dir.folder()
    }

    /// Does what a running node does in the background, until it stops: fills
    /// what is due, sweeps, hears of changes, and tells endpoints of them.
    pub async fn run(&self) {
        let deliveries = outbox::run(&self.outbox, self.event_stream.listen(), &self.stopping);
        let scrub = self.cache.scrub(&self.stopping);
        let posters = self.posters.run(&self.stopping);
        tokio::join!(self.engine.run(), self.sweep.run(&self.stopping), self.poll_events(), deliveries, scrub, posters);
    }

    /// Drops from the shelf what changed, on whatever node.
    async fn poll_events(&self) {
        let mut cursor = self.told_before;
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVENT_POLL_INTERVAL) => {}
                () = self.stopping.cancelled() => return,
            }
            if let Err(error) = self.poll_events_once(&mut cursor).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot ask what changed");
            }
        }
    }

    async fn poll_events_once(&self, cursor: &mut Position) -> Result<(), CatalogError> {
        loop {
            let events = self.catalog.events(*cursor, EVENT_POLL_BATCH).await?;
            self.changed(events.iter().filter_map(|(_, event)| event.key.as_ref()));
            for (_, Event { kind, key, detail, .. }) in &events {
                match (kind, key) {
                    (EventType::LinkRevoked, None) => {
                        let revocation = detail.as_deref().and_then(|text| text.parse().ok());
                        self.links.revoke_all(revocation, self.clock.now());
                    }
                    (EventType::ClipDeleted, Some(key)) => self.forget(key),
                    (EventType::ClipRevised, Some(key)) => self.cache.forget(key),
                    _ => {}
                }
            }
            let Some((last, _)) = events.last() else { return Ok(()) };
            *cursor = *last;
            self.event_stream.publish(*cursor);
        }
    }

    /// Deletes a clip: from here on this node answers that it is gone, and the
    /// others do within seconds. Runs to its end once it is polled.
    pub async fn delete(self: &Arc<Self>, key: &ClipKey, why: &'static str) -> Result<Deletion, CatalogError> {
        let (app, key) = (Arc::clone(self), key.clone());
        let deleting = self.tasks.spawn(async move {
            let (now, lease) = (app.clock.now(), app.config.lease);
            let told = fill::delete(&*app.catalog, &app.custody, &key, now, lease, why).await;
            app.changed([&key]);
            app.forget(&key);
            told
        });
        deleting.await.map_err(|panicked| CatalogError::unavailable("deleting a clip", panicked))?
    }

    /// Looks these clips up again before anything more of them is served.
    pub(crate) fn changed<'a>(&self, keys: impl IntoIterator<Item = &'a ClipKey> + Clone) {
        for memory_cache in [&self.memory_cache, &self.peeks, &self.poster_cache] {
            memory_cache.invalidate(keys.clone());
        }
    }

    /// Drops what this node has of a deleted clip.
    fn forget(&self, key: &ClipKey) {
        self.engine.cancel(key);
        self.cache.forget(key);
    }

    /// Where this process keeps clips that are on their way.
    pub fn partials(&self) -> PathBuf {
        self.data_dir.partials()
    }

    /// Ends in order: no new fills, running ones end or let go, then the last
    /// commits are written.
    pub async fn close(&self) {
        self.stopping.cancel();
        self.event_stream.end();
        self.engine.close(self.config.shutdown_grace).await;
        self.cache.close().await;
        self.tasks.close();
        self.tasks.wait().await;
        self.usage.flush().await;
        self.intake.shutdown().await;
    }
}

/// The store that the configuration names, as it is found.
///
/// # Errors
/// If its settings are not usable.
pub fn store_at(config: &Config) -> Result<Store, StoreError> {
    let target = match &config.store {
        StoreUrl::Folder(path) => StoreTarget::Folder(path.clone()),
        StoreUrl::S3 { bucket, prefix } => {
            StoreTarget::S3 { bucket: bucket.clone(), prefix: prefix.clone(), settings: config.s3.clone() }
        }
    };
    let limits = UploadLimits { memory: config.fill_memory, clip_size: config.max_clip_size };
    Store::at(target, limits)
}
