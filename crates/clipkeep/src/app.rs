//! Every shared handle of a running node, built once from the configuration.

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

use crate::{
    cache::{DiskCache, Shelf},
    callers::Callers,
    catalog::{
        Catalog, CatalogError, Deletion,
        group::{HookLimits, HookWriter},
        open::open_configured,
    },
    clock::SystemClock,
    costs::{BudgetWatch, price_lists},
    custody::Custody,
    descriptors,
    ffmpeg::Ffmpeg,
    fill::{self, FillEngine, FillParts, FillSettings, Inbox},
    hook_memory::HookMemory,
    intake::Intake,
    keys,
    links::Links,
    node,
    outbox::{self, Feed, OutboxParts, OutboxSettings},
    provider::{FalRelay, Providers},
    proxy::SpoolRoom,
    scratch::{Role, Scratch},
    shares::Shares,
    source::{SourceClient, SourceSettings, source_rules},
    store::{Store, StoreError, StoreTarget, UploadLimits},
    sweep::{Sweep, SweepParts, SweepSettings},
    telemetry::Metrics,
    tls,
    usage::Usage,
    vitals::Vitals,
};

pub use crate::final_urls::FinalUrls;

/// How much memory may go to clips that are at hand without asking the
/// catalogue.
const SHELF_MEMORY: u64 = 64 * 1024 * 1024;
/// The same for what was only looked at.
const PEEK_MEMORY: u64 = 4 * 1024 * 1024;
/// How much memory the bodies of calls to the API may take, all together.
const API_MEMORY: u64 = 128 * 1024 * 1024;
/// How often the node asks what changed, here or on another.
const HEAR_INTERVAL: Duration = Duration::from_secs(1);
/// How many changes it asks for at once.
const HEAR_BATCH: u32 = 500;

/// A node. `web` serves it, `cli` starts it.
pub struct App {
    /// Checked and complete.
    pub config: Config,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Generations, clips, queue.
    pub catalog: Arc<dyn Catalog>,
    /// The way in for what providers say.
    pub intake: Arc<Intake>,
    /// The canonical copies.
    pub store: Arc<Store>,
    /// Whose they are: the way to them for who writes or removes any.
    pub custody: Arc<Custody>,
    /// What brings clips there.
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
    pub spool: Arc<SpoolRoom>,
    /// What signs and checks links.
    pub links: Links,
    /// What storage and egress cost.
    pub price_lists: Vec<PriceList>,
    /// How much a month may cost.
    pub budgets: Arc<BudgetWatch>,
    /// What signs receipts.
    pub receipts: ReceiptKey,
    /// Where clips are for good.
    pub final_urls: FinalUrls,
    /// Clips at hand.
    pub shelf: Shelf,
    /// Clips that nobody fills, as a `HEAD` found them at their sources.
    pub peeks: Shelf,
    /// Copies of the bucket's objects on this disk.
    pub cache: DiskCache,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Who got how much of which clip.
    pub usage: Arc<Usage>,
    /// What was heard of, for those who wait for it.
    pub feed: Feed,
    /// Work that must outlive the request that started it.
    pub tasks: TaskTracker,
    /// Cancelled when the node begins to stop.
    pub stopping: CancellationToken,
    /// How it is.
    pub vitals: Vitals,
    /// The memory that webhooks share which are not verified yet.
    pub hook_memory: Arc<HookMemory>,
    /// The memory that bodies of calls to the API share.
    pub bodies: Arc<Shares>,
    /// Who may call.
    pub callers: Callers,
    outbox: Arc<OutboxParts>,
    scratch: Scratch,
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
        let scratch = Scratch::take(&config.data, role).await?;
        let links = Links::new(&config, &keys.link_keys_text, &keys.internal_link_keys_text)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Arc::new(Metrics::new());
        let catalog = open_configured(&config).await?;
        let store = Arc::new(store_at(&config)?);
        let custody = Arc::new(Custody::new(Arc::clone(&catalog), Arc::clone(&store)));
        custody.begin().await?;
        fill::clear_spool(&*catalog, scratch.spool()).await.context("clearing the spool folder")?;
        if scratch.role() == Role::Node {
            store.clear_staging().await?;
        }
        let (node, operations) = (node::name(), store.operations());
        let usage = Usage::new(Arc::clone(&catalog), operations, Arc::clone(&clock), Arc::clone(&metrics), &node);
        let providers = Arc::new(Providers::new(&config)?);
        let engine = FillEngine::new(FillParts {
            node: node.clone(),
            settings: fill_settings(&config, &scratch),
            catalog: Arc::clone(&catalog),
            store: Arc::clone(&store),
            custody: Arc::clone(&custody),
            source: SourceClient::new(SourceSettings::of(&config), Arc::clone(&clock))?,
            providers: Arc::clone(&providers),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            usage: Arc::clone(&usage),
            ffmpeg: config.ffmpeg.as_deref().and_then(Ffmpeg::find),
        });
        let hooks = HookWriter::start(Arc::clone(&catalog), HookLimits::default());
        let inbox = Inbox::new(Arc::clone(&custody), scratch.spool());
        let intake = Arc::new(Intake::new(hooks, inbox, Arc::clone(&metrics)));
        let price_lists = price_lists(&config)?;
        let budgets = Arc::new(BudgetWatch::new(&config, &price_lists)?);
        let sweep = Sweep::new(SweepParts {
            settings: sweep_settings(&config),
            store: Arc::clone(&store),
            custody: Arc::clone(&custody),
            spool: scratch.spool(),
            catalog: Arc::clone(&catalog),
            intake: Arc::clone(&intake),
            engine: engine.clone(),
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
        let cache = DiskCache::new(scratch.cache(), config.cache_size, Arc::clone(&store), news, tasks.clone());
        cache.take_over().await.context("taking over the cache folder")?;
        let told_before = catalog.last_event().await?;
        links.hear(catalog.revocations(clock.now()).await?, clock.now());
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
            spool: Arc::new(SpoolRoom::new(scratch.folder().to_owned(), config.proxy_disk)),
            final_urls: FinalUrls::new(&config),
            shelf: Shelf::new(SHELF_MEMORY, descriptors::share(8)),
            peeks: Shelf::new(PEEK_MEMORY, usize::MAX),
            tasks,
            cache,
            stopping,
            callers: Callers::new(keys.admin_token, Arc::clone(&catalog), Arc::clone(&clock)),
            price_lists,
            budgets,
            receipts: keys.receipt_key.expose().parse()?,
            scratch,
            feed: Feed::new(told_before),
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
    pub fn scratch(&self) -> &std::path::Path {
        self.scratch.folder()
    }

    /// Does what a running node does in the background, until it stops: fills
    /// what is due, sweeps, hears of changes, and tells endpoints of them.
    pub async fn run(&self) {
        let tell = outbox::run(&self.outbox, self.feed.listen(), &self.stopping);
        let scrub = self.cache.scrub(&self.stopping);
        tokio::join!(self.engine.run(), self.sweep.run(&self.stopping), self.hear(), tell, scrub);
    }

    /// Drops from the shelf what changed, on whatever node.
    async fn hear(&self) {
        let mut heard = self.told_before;
        loop {
            tokio::select! {
                () = tokio::time::sleep(HEAR_INTERVAL) => {}
                () = self.stopping.cancelled() => return,
            }
            if let Err(error) = self.hear_more(&mut heard).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot ask what changed");
            }
        }
    }

    async fn hear_more(&self, heard: &mut Position) -> Result<(), CatalogError> {
        loop {
            let told = self.catalog.events(*heard, HEAR_BATCH).await?;
            for shelf in [&self.shelf, &self.peeks] {
                shelf.hear(told.iter().filter_map(|(_, event)| event.key.as_ref()));
            }
            for (_, Event { kind, key, detail, .. }) in &told {
                match (kind, key) {
                    (EventType::LinkRevoked, None) => {
                        let revocation = detail.as_deref().and_then(|text| text.parse().ok());
                        self.links.hear(revocation, self.clock.now());
                    }
                    (EventType::ClipDeleted, Some(key)) => self.forget(key),
                    (EventType::ClipRevised, Some(key)) => self.cache.forget(key),
                    _ => {}
                }
            }
            let Some((last, _)) = told.last() else { return Ok(()) };
            *heard = *last;
            self.feed.tell(*heard);
        }
    }

    /// Deletes a clip: from here on this node answers that it is gone, and the
    /// others do within seconds. Runs to its end once it is polled.
    pub async fn delete(self: &Arc<Self>, key: &ClipKey, why: &'static str) -> Result<Deletion, CatalogError> {
        let (app, key) = (Arc::clone(self), key.clone());
        let deleting = self.tasks.spawn(async move {
            let (now, lease) = (app.clock.now(), app.config.lease);
            let told = fill::delete(&*app.catalog, &app.custody, &key, now, lease, why).await;
            app.shelf.hear([&key]);
            app.peeks.hear([&key]);
            app.forget(&key);
            told
        });
        deleting.await.map_err(|panicked| CatalogError::unavailable("deleting a clip", panicked))?
    }

    /// Drops what this node has of a deleted clip.
    fn forget(&self, key: &ClipKey) {
        self.engine.let_go(key);
        self.cache.forget(key);
    }

    /// Where this process keeps clips that are on their way.
    pub fn spool(&self) -> PathBuf {
        self.scratch.spool()
    }

    /// Ends in order: no new fills, running ones end or let go, then the last
    /// commits are written.
    pub async fn close(&self) {
        self.stopping.cancel();
        self.feed.end();
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

fn fill_settings(config: &Config, scratch: &Scratch) -> FillSettings {
    FillSettings {
        // A fill takes a few: its copy, its connections, its upload.
        concurrency: config.fill_concurrency.min(descriptors::share(64)),
        backfill_concurrency: config.backfill_concurrency,
        backfill_rate: config.backfill_rate,
        connections: config.fill_connections,
        all_connections: config.source_connections.min(descriptors::share(16)),
        host_connections: config.source_connections_per_host,
        lease: config.lease,
        retry_base: config.retry_base,
        retry_max: config.retry_max,
        gone_attempts: config.gone_attempts,
        gone_after: config.gone_after,
        lost_after: config.lost_after,
        adopt_within: config.adopt_within,
        max_clip_size: config.max_clip_size,
        sweep_interval: config.sweep_interval,
        fast_start: config.fast_start,
        share_objects: config.share_objects,
        spool: scratch.spool(),
    }
}

fn sweep_settings(config: &Config) -> SweepSettings {
    SweepSettings {
        interval: config.sweep_interval,
        drift_interval: config.drift_interval,
        lease: config.lease,
        retention: config.retention.clone(),
        retry_base: config.retry_base,
        retry_max: config.retry_max,
        gone_attempts: config.gone_attempts,
        poll_give_up: config.poll_give_up,
        at_risk_before: config.at_risk_before,
        share_objects: config.share_objects,
        events_keep: config.events_keep,
        history_keep: config.history_keep,
        usage_hourly_keep: config.usage_hourly_keep,
        endpoints: config.event_endpoints.iter().map(|endpoint| endpoint.name().to_owned()).collect(),
        sources: source_rules(config),
    }
}
