//! Posters: a still of each clip, made by ffmpeg from its bytes wherever they
//! are, and kept in the store beside the clip.
//!
//! - here: kept, or made; at the fill, for who asks, or by the sweep.
//! - `excerpt`: a clip's bytes as a file that ffmpeg may read.
//! - `jpeg`: what ffmpeg wrote, checked, and its thumbhash.
//!
//! A poster is expendable: one that is lost is made again, and a kill between
//! its object and its row leaves an object that the next try writes over.

mod excerpt;
mod jpeg;

use std::{path::Path, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use clipkeep_core::{
    generation::{Clip, Kind, Poster},
    id::ClipKey,
    state::ClipState,
    time::{Clock, Timestamp},
};
use futures_util::{
    StreamExt as _,
    stream::{self, FuturesUnordered},
};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use self::excerpt::Media;
use crate::{
    catalog::{Catalog, CatalogError},
    custody::{Custody, Doubt},
    ffmpeg::{Ffmpeg, NoStill},
    fill::{FillEngine, StoredNotice},
    store::{Store, StoreError},
    telemetry::Metrics,
};

/// How long whoever takes a clip up that has no poster has for it, before another
/// may.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a clip that was stored is left to the node that stored it.
pub const GRACE: Duration = Duration::from_secs(60);
/// How long the poster of a clip that was stored waits while other clips come, and
/// how often it is looked whether they do.
const MAX_WAIT_FOR_FILLS: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How many clips the sweep takes up at once.
const BATCH: u32 = 32;
/// How long a clip of which nothing could be shown, or not in time, is left alone
/// by those who ask, if its row does not say so.
const RETRY_FAILED_AFTER: Duration = Duration::from_secs(60);
/// How many such clips are remembered.
const MAX_FAILURES_REMEMBERED: usize = 4096;

/// Why there is no poster.
#[derive(Debug, thiserror::Error)]
pub enum PosterError {
    /// There is no ffmpeg.
    #[error("posters are off: they need ffmpeg (key `ffmpeg`)")]
    Off,
    /// There can be none.
    #[error("there is nothing to show of it")]
    Nothing,
    /// Its bytes are not at hand, or others wait: it may be there in a moment.
    #[error("its poster is on its way")]
    Later,
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store is another's, or that cannot be told.
    #[error(transparent)]
    NotOurs(#[from] Doubt),
    #[error("keeping a clip's beginning on the local disk")]
    Disk(#[from] std::io::Error),
}

/// What posters are made with.
pub struct PosterParts {
    pub catalog: Arc<dyn Catalog>,
    /// Clips and posters.
    pub store: Arc<Store>,
    /// Whose that is: the way to it for who writes.
    pub custody: Arc<Custody>,
    /// Who has the bytes of clips that are not stored yet.
    pub engine: FillEngine,
    /// What draws; none, and there are no posters.
    pub ffmpeg: Option<Arc<Ffmpeg>>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    /// Where clips' beginnings are kept for a moment.
    pub folder: PathBuf,
}

/// The posters of this node.
pub struct Posters {
    parts: PosterParts,
    stored_notices: Mutex<Option<mpsc::Receiver<StoredNotice>>>,
    failures: Cache<ClipKey, Failure>,
}

/// A poster that was not made, of which the row says nothing.
#[derive(Clone, Copy)]
struct Failure {
    at: Instant,
    /// It took too long; else there was nothing to show.
    is_late: bool,
}

impl Posters {
    /// Nothing is made before [`Posters::run`], or before somebody asks.
    pub fn new(parts: PosterParts, stored_notices: Option<mpsc::Receiver<StoredNotice>>) -> Self {
        Self { parts, stored_notices: Mutex::new(stored_notices), failures: Cache::new(MAX_FAILURES_REMEMBERED) }
    }

    /// Makes the posters of what is stored on this node, until `stop`.
    pub async fn run(&self, stop: &CancellationToken) {
        let Some(mut stored_notices) = self.stored_notices.lock().take() else { return };
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(notice) = stored_notices.recv(), if running.len() < cores() => running.push(self.draw_stored(notice)),
                Some(()) = running.next() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Makes the posters of a few stored clips that should have one by `at`, newest
    /// first. Answers how many it took up.
    ///
    /// # Errors
    /// If the catalogue does not say which.
    pub async fn catch_up(&self, at: Timestamp) -> Result<u64, CatalogError> {
        if self.parts.ffmpeg.is_none() {
            return Ok(0);
        }
        let due = self.parts.catalog.posters_due(at, at.plus(CLAIM_TIMEOUT), BATCH).await?;
        let made = stream::iter(due.clone()).for_each_concurrent(cores(), |key| async move {
            self.report(&key, self.draw_and_keep(&key, None).await);
        });
        made.await;
        Ok(due.len() as u64)
    }

    async fn draw_stored(&self, notice: StoredNotice) {
        self.wait_for_idle_processors().await;
        let copy = notice.copy.as_ref().map(|copy| copy.path());
        self.report(&notice.key, self.draw_and_keep(&notice.key, copy).await);
    }

    /// Until fewer fills run than there are processors, which is what a poster
    /// would take from them; but not for ever.
    async fn wait_for_idle_processors(&self) {
        let began = Instant::now();
        while self.parts.engine.running() >= cores() && began.elapsed() < MAX_WAIT_FOR_FILLS {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn draw_and_keep(&self, key: &ClipKey, copy: Option<&Path>) -> Result<(), PosterError> {
        let clip = self.parts.catalog.clip(key).await?;
        let Some(clip) = clip.filter(|clip| clip.state == ClipState::Stored && clip.poster == Poster::Untried) else {
            return Ok(());
        };
        let made = match copy {
            Some(copy) => self.draw(&clip, copy).await,
            None => self.make(&clip).await,
        };
        made.map(drop)
    }

    /// Nobody waits for it: what went wrong is tried again later.
    fn report(&self, key: &ClipKey, made: Result<(), PosterError>) {
        match made {
            Ok(()) | Err(PosterError::Off | PosterError::Nothing) => {}
            Err(error) => {
                tracing::warn!(clip = %key, error = &error as &dyn std::error::Error, "a poster was not made");
                self.parts.metrics.poster("failed");
            }
        }
    }

    /// The poster of a clip, as it is kept, or made now.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn of(&self, clip: &Clip) -> Result<Bytes, PosterError> {
        match clip.poster {
            Poster::None => return Err(PosterError::Nothing),
            Poster::Made { .. } => {
                if let Some(kept) = self.parts.store.poster(&clip.key).await? {
                    return Ok(kept);
                }
            }
            Poster::Untried => {}
        }
        if let Some(failure) = self.failures.get(&clip.key).filter(|failure| failure.at.elapsed() < RETRY_FAILED_AFTER)
        {
            return Err(if failure.is_late { PosterError::Later } else { PosterError::Nothing });
        }
        let made = self.make(clip).await;
        if clip.state != ClipState::Stored && matches!(made, Err(PosterError::Nothing)) {
            self.failures.insert(clip.key.clone(), Failure { at: Instant::now(), is_late: false });
        }
        made
    }

    async fn make(&self, clip: &Clip) -> Result<Bytes, PosterError> {
        if self.parts.ffmpeg.is_none() {
            return Err(PosterError::Off);
        }
        if matches!(kind(clip), Kind::Model | Kind::Archive) {
            return self.keep(clip, None).await;
        }
        let media = match excerpt::of(&self.parts, clip).await? {
            Media::File(path) => return self.draw(clip, &path).await,
            Media::Beginning(path) => path,
        };
        self.draw(clip, &media).await
    }

    /// Draws the poster of a clip whose bytes are at `path`, or the first of them.
    async fn draw(&self, clip: &Clip, path: &Path) -> Result<Bytes, PosterError> {
        let ffmpeg = self.parts.ffmpeg.as_ref().ok_or(PosterError::Off)?;
        let drawn = match ffmpeg.still(path, kind(clip)).await {
            Ok(drawn) => tokio::task::spawn_blocking(|| jpeg::read(drawn)).await.ok().flatten(),
            Err(NoStill::Busy) => return Err(PosterError::Later),
            Err(NoStill::Late) => {
                self.failures.insert(clip.key.clone(), Failure { at: Instant::now(), is_late: true });
                return Err(PosterError::Later);
            }
            Err(error @ NoStill::NoJail(_)) => {
                tracing::warn!(clip = %clip.key, error = &error as &dyn std::error::Error, "no poster for now");
                return Err(PosterError::Later);
            }
            Err(error) => {
                tracing::debug!(clip = %clip.key, error = &error as &dyn std::error::Error, "no poster");
                None
            }
        };
        self.keep(clip, drawn).await
    }

    /// Keeps what was drawn, or that nothing could be; of a stored clip alone.
    async fn keep(&self, clip: &Clip, drawn: Option<jpeg::Still>) -> Result<Bytes, PosterError> {
        let PosterParts { catalog, custody, metrics, .. } = &self.parts;
        metrics.poster(if drawn.is_some() { "made" } else { "nothing" });
        if clip.state == ClipState::Stored {
            let store = custody.ours().await?;
            if let Some(still) = &drawn {
                store.put_poster(&clip.key, &still.bytes).await?;
            }
            let thumbhash = drawn.as_ref().map(|still| still.thumbhash.as_str());
            if !catalog.poster_made(&clip.key, clip.epoch, thumbhash).await? {
                // It was deleted meanwhile, or starts over.
                store.delete_poster(&clip.key).await?;
                return Err(PosterError::Later);
            }
        }
        drawn.map(|still| still.bytes).ok_or(PosterError::Nothing)
    }
}

fn kind(clip: &Clip) -> Kind {
    clip.sealed.as_ref().map_or(clip.kind, |sealed| sealed.media.kind)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
