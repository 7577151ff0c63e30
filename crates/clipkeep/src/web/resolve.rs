//! What a viewer of a clip needs, made from its row: of a stored clip, and of
//! one that is not here yet, whose fill then begins.

use std::{ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use clipkeep_core::{
    delivery::{Representation, header::ETag, version_time},
    generation::{Clip, Sealed},
    id::ClipKey,
    problem::Code,
    sniff::Sniffed,
    state::ClipState,
    version::same_version,
    view::View,
};
use tokio::time::{Instant, timeout};

use super::{
    clips::{FIRST_BYTE_TIMEOUT, retry_later, unknown},
    early_type::{self, Seen},
    error::ApiError,
};
use crate::{
    app::App,
    cache::{ByteSource, FillingCopy, Object, ServableClip, mmap},
    catalog::{CatalogError, NOTICE_DELAY, Pinned},
    content, descriptors,
    faststart::{Fast, find},
    fill::{
        FillEnd, FillHandle,
        local::{Ended, LocalCopy, Order},
    },
    store::{Pin, StoredReadAt},
};

/// When to come again for a clip that begins to be fetched once more.
const MEND_SECS: u32 = 5;
/// The versions of a source that one request waits for.
const VERSIONS: usize = 3;

/// What is needed to serve `key`, whatever its state. A clip that is not here
/// begins to come, what is asked for `soon` first.
pub(super) async fn resolve(
    app: &Arc<App>,
    key: &ClipKey,
    soon: Option<Range<u64>>,
) -> Result<Arc<ServableClip>, ApiError> {
    // News that come from now on may be news to what is read here.
    let since = Instant::now();
    let servable = bytes_of(app, key, soon).await?;
    Ok(Arc::new(ServableClip { since, ..servable }))
}

async fn bytes_of(app: &Arc<App>, key: &ClipKey, soon: Option<Range<u64>>) -> Result<ServableClip, ApiError> {
    let mut clip = row(app, key).await?;
    if let Some(pause) = backs_off(app, &clip) {
        return Err(retry_later(key).retry_after(pause));
    }
    let waits = matches!(clip.state, ClipState::Waiting | ClipState::Filling);
    if waits && !clip.source_url.has_url() {
        // There is no source to stream from: it is looked for, and read whole.
        app.engine.join(key);
        return Err(retry_later(key));
    }
    if waits {
        match timeout(FIRST_BYTE_TIMEOUT, coming(app, &clip, soon)).await {
            Ok(Ok(servable)) => return Ok(servable),
            Ok(Err(Waited::Failed(error))) => return Err(error),
            Ok(Err(Waited::Elsewhere)) => {
                clip = row(app, key).await?;
                if clip.state == ClipState::Filling {
                    return through(app, &clip).await;
                }
            }
            // The fill is over; its end is in the row.
            Ok(Err(Waited::Over)) => clip = row(app, key).await?,
            Err(_) => return Err(retry_later(key)),
        }
    }
    match (clip.state, &clip.sealed) {
        (ClipState::Stored, Some(sealed)) => stored(app, &clip, sealed).await,
        (ClipState::Lost | ClipState::Rejected | ClipState::Deleted, _) => {
            Err(ApiError::new(Code::Gone, format!("{key} is {}", clip.state)))
        }
        _ => Err(retry_later(key)),
    }
}

/// The clip's row, as long as it has this name.
async fn row(app: &App, key: &ClipKey) -> Result<Clip, ApiError> {
    app.catalog.clip(key).await?.filter(|clip| clip.key == *key).ok_or_else(unknown)
}

/// What a `HEAD` of a clip that nobody fills is answered from: the same that its
/// first viewer would get, told by a look at its source that keeps nothing and
/// starts nothing. `None` where the source cannot be looked at so.
pub(super) async fn peek(app: &App, clip: &Clip) -> Option<Arc<ServableClip>> {
    if !clip.source_url.has_url() || backs_off(app, clip).is_some() {
        return None;
    }
    let peeked = app.peeks.find_or(&clip.key, async { through(app, clip).await.map(Arc::new) });
    timeout(FIRST_BYTE_TIMEOUT, peeked).await.ok()?.ok()
}

/// For how many seconds a clip whose fill failed is left alone. Viewers must not
/// use up its attempts: a source that is not there now may be there in a minute.
/// One that lost its object waits, too, until all nodes know.
fn backs_off(app: &App, clip: &Clip) -> Option<u32> {
    let failed = clip.attempts > 0 || clip.restarted_at.is_some();
    let waits = clip.state == ClipState::Waiting && failed && app.engine.find(&clip.key).is_none();
    let pause = clip.due_at.filter(|_| waits)?.since(app.clock.now());
    (!pause.is_zero()).then(|| u32::try_from(pause.as_secs()).unwrap_or(u32::MAX).saturating_add(1))
}

fn representation(clip: &Clip, epoch: i64, len: u64, content_type: &str, fast: Option<&Fast>) -> Representation {
    let etag = ETag::of_view(clip.first_key(), epoch, fast.is_some());
    Representation::new(len, etag, version_time(clip.created_at, epoch), content_type)
}

/// How the bytes are served, and how they are downloaded where that differs. Of
/// their own order the checksum is known, once they are sealed under this epoch.
fn representations(
    clip: &Clip,
    epoch: i64,
    len: u64,
    content_type: &str,
    fast: Option<&Fast>,
) -> (Representation, Option<Representation>) {
    let stored = representation(clip, epoch, len, content_type, None);
    let stored = match &clip.sealed {
        Some(sealed) if clip.epoch == epoch && clip.state == ClipState::Stored => stored.with_sha256(&sealed.sha256),
        _ => stored,
    };
    match fast {
        None => (stored, None),
        Some(fast) => (representation(clip, epoch, len, content_type, Some(fast)), Some(stored)),
    }
}

async fn stored(app: &App, clip: &Clip, sealed: &Sealed) -> Result<ServableClip, ApiError> {
    if app.catalog.is_damaged(&clip.key, clip.epoch).await? {
        mend(app, clip).await?;
    }
    let bytes = match app.store.local_path(clip.object()) {
        Some(path) => ByteSource::Mapped(map(app, path, sealed.size, &clip.key).await?),
        None => in_bucket(app, clip).await?,
    };
    let fast = if app.config.fast_start { stored_view(app, clip, sealed.size).await? } else { None };
    let content_type = clip.served_type.as_ref().unwrap_or(&sealed.media.content_type);
    let (representation, stored) = representations(clip, clip.epoch, sealed.size, content_type, fast.as_ref());
    Ok(ServableClip { stored, fast, ..servable(app, clip, representation, bytes) })
}

/// Bytes that are known to be damaged are not given while there are better ones:
/// the clip is fetched again. Where its source is gone they are all there is.
async fn mend(app: &App, clip: &Clip) -> Result<(), ApiError> {
    const WHY: &str = "its object was found damaged, and its source lives";
    if !app.engine.source_lives(clip).await {
        tracing::error!(clip = %clip.key, "damaged, and its source is gone: what is left of it is served");
        return Ok(());
    }
    let now = app.clock.now();
    app.catalog.object_lost(&clip.key, clip.epoch, now, now.plus(NOTICE_DELAY), WHY).await?;
    app.engine.wake();
    tracing::error!(clip = %clip.key, "stored no more: {WHY}");
    Err(retry_later(&clip.key).retry_after(MEND_SECS))
}

/// From this node's disk, where the object is or may come to.
async fn in_bucket(app: &App, clip: &Clip) -> Result<ByteSource, ApiError> {
    let object = Object::of(clip).ok_or_else(|| retry_later(&clip.key))?;
    Ok(match app.cache.copy(&object).await {
        Some(copy) => ByteSource::Filling(FillingCopy::of(&copy, &copy.viewer())),
        None => {
            let pin = Pin::of(object.tag.clone());
            ByteSource::Store(Arc::new((object, pin)))
        }
    })
}

/// These bytes of `clip`, for whom it is; as they are, without a view.
pub(super) fn servable(app: &App, clip: &Clip, representation: Representation, bytes: ByteSource) -> ServableClip {
    ServableClip {
        representation,
        stored: None,
        public: is_public(app, clip),
        link_generation: clip.link_generation,
        account: app.usage.account(&clip.key, clip.facts.tenant.as_ref()),
        fast: None,
        bytes,
        lasts: true,
        since: Instant::now(),
    }
}

pub(super) fn is_public(app: &App, clip: &Clip) -> bool {
    clip.facts.public.unwrap_or(app.config.public)
}

async fn stored_view(app: &App, clip: &Clip, len: u64) -> Result<Option<Fast>, ApiError> {
    let tag = Object::of(clip).and_then(|object| object.tag);
    let mut object = StoredReadAt { store: &app.store, key: clip.object(), pin: Pin::of(tag) };
    let unreadable = |error| ApiError::unavailable("the store did not answer", error);
    let at = match clip.view {
        Some(View::Plain) => return Ok(None),
        Some(View::FastStart(at)) => at,
        None => {
            let found = find(len, &mut object).await.map_err(unreadable)?;
            let view = found.as_ref().map_or(View::Plain, Fast::view);
            return match app.catalog.decide_view(&clip.key, clip.epoch, &view).await? {
                Some(decided) if decided == view => Ok(found),
                _ => Err(retry_later(&clip.key)),
            };
        }
    };
    if clip.sealed.as_ref().is_some_and(|sealed| sealed.media.c2pa.is_none()) {
        // Decided before it was known what must not be moved. Served in its own
        // order it is another representation, with an ETag of its own.
        let found = find(len, &mut object).await.map_err(unreadable)?;
        return Ok(found.filter(|found| found.at == at));
    }
    let fast = Fast::load(at, &mut object).await.map_err(unreadable)?;
    fast.map(Some).ok_or_else(|| {
        tracing::error!(clip = %clip.key, "stored, but its object is not the one its row tells of");
        retry_later(&clip.key)
    })
}

async fn map(app: &App, path: PathBuf, len: u64, key: &ClipKey) -> Result<Bytes, ApiError> {
    let map = |path: PathBuf| async move {
        let mapped = tokio::task::spawn_blocking(move || mmap::map(&path, len)).await;
        mapped.map_err(|e| ApiError::unavailable("the store did not answer", e))
    };
    let mut mapped = map(path.clone()).await?;
    if mapped.as_ref().is_err_and(descriptors::are_used_up) {
        // Clips at hand hold files open: better to look them up again.
        app.memory_cache.clear();
        mapped = map(path).await?;
    }
    mapped.map_err(|error| {
        tracing::error!(clip = %key, %error, "stored, but its object cannot be read");
        retry_later(key)
    })
}

/// Why a clip did not begin to come.
enum Waited {
    Over,
    /// Another node fills it.
    Elsewhere,
    Failed(ApiError),
}

impl From<Ended> for Waited {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Restarted | Ended::Aborted => Self::Over,
            Ended::Unreadable(error) => Self::Failed(ApiError::unavailable("the local copy cannot be read", error)),
        }
    }
}

impl From<CatalogError> for Waited {
    fn from(error: CatalogError) -> Self {
        Self::Failed(error.into())
    }
}

/// Starts the clip's fill, or joins it, and waits until it can be served.
async fn coming(app: &Arc<App>, clip: &Clip, soon: Option<Range<u64>>) -> Result<ServableClip, Waited> {
    let mut fill = app.engine.join(&clip.key);
    let Ok(copy) = fill.copy().await else { return over(fill).await };
    for _ in 0..VERSIONS {
        match serve_copy(app, clip, &copy, soon.as_ref()).await {
            Ok(Some(servable)) => return Ok(servable),
            // Another version, or nothing that can be served: the fill says so. Or
            // another name, under which it is.
            Ok(None) | Err(Waited::Over) if row(app, &clip.key).await.is_err() => return Err(Waited::Over),
            Ok(None) | Err(Waited::Over) => {}
            Err(failed) => return Err(failed),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
            _ = fill.clone().ended() => break,
        }
    }
    over(fill).await
}

async fn over(fill: FillHandle) -> Result<ServableClip, Waited> {
    match fill.ended().await {
        FillEnd::Nothing => Err(Waited::Elsewhere),
        _ => Err(Waited::Over),
    }
}

/// Serves a clip that this node does not fill from its source, if that can prove
/// which version it serves.
async fn through(app: &App, clip: &Clip) -> Result<ServableClip, ApiError> {
    let later = |_| retry_later(&clip.key);
    let opened = app.engine.through(clip).await.map_err(later)?;
    let mut source = opened.ok_or_else(|| retry_later(&clip.key))?;
    let total = Some(source.total());
    let (told, head) = content::sniff(&mut source, total, &clip.content_type).await.map_err(later)?;
    let Sniffed::Media(media) = told else { return Err(retry_later(&clip.key)) };
    let (mut fast, mut view) = (None, None);
    if app.config.fast_start {
        fast = find(source.total(), &mut source).await.map_err(later)?;
        view = Some(fast.as_ref().map_or(View::Plain, Fast::view));
    }
    let pinned = app.catalog.pin(&clip.key, clip.epoch, source.version(), view.as_ref()).await?;
    match pinned.filter(|pinned| same_version(&pinned.version, source.version())) {
        Some(pinned) if view.is_none() || pinned.view == view => {}
        Some(Pinned { view: Some(View::Plain), .. }) => fast = None,
        _ => return Err(retry_later(&clip.key)),
    }
    let total = source.total();
    let seen = Seen { media, head, fast: fast.as_ref(), len: total, reach: total };
    let early = early_type::early(clip, clip.epoch, seen, &mut source).await.map_err(later)?;
    let content_type = early.decided(app, &clip.key, clip.epoch).await?.ok_or_else(|| retry_later(&clip.key))?;
    let (representation, stored) = representations(clip, clip.epoch, total, &content_type, fast.as_ref());
    Ok(ServableClip { stored, fast, ..servable(app, clip, representation, ByteSource::Source(source)) })
}

async fn serve_copy(
    app: &App,
    clip: &Clip,
    copy: &Arc<LocalCopy>,
    soon: Option<&Range<u64>>,
) -> Result<Option<ServableClip>, Waited> {
    let mut viewer = copy.viewer();
    // On its way while the clip is looked at and the row decides.
    let mut ahead = copy.viewer();
    if let Some(range) = soon {
        ahead.want(range.clone());
    }
    let shown = viewer.shown().await?;
    let (told, head) = content::sniff(&mut viewer, shown.total, &clip.content_type).await?;
    let Sniffed::Media(media) = told else { return Ok(None) };
    let fast = match &shown.order {
        Order::Decided(fast) => fast.clone(),
        // Pieces out of order cannot be had: a view would come too late.
        Order::Undecided => match app.catalog.decide_view(&clip.key, shown.epoch, &View::Plain).await? {
            Some(View::Plain) => None,
            Some(View::FastStart(at)) => Fast::load(at, &mut viewer).await?,
            None => return Ok(None),
        },
    };
    let total = shown.total.or_else(|| copy.is_complete().then(|| copy.len()));
    let gives_pieces = copy.opened().is_some_and(|opened| opened.ranges);
    let (len, reach) = (total.unwrap_or(u64::MAX), total.filter(|_| gives_pieces).unwrap_or(early_type::HEAD));
    let seen = Seen { media, head, fast: fast.as_ref(), len, reach };
    let early = early_type::early(clip, shown.epoch, seen, &mut viewer).await?;
    let Some(content_type) = early.decided(app, &clip.key, shown.epoch).await? else { return Ok(None) };
    let (representation, stored) = match total {
        Some(len) => representations(clip, shown.epoch, len, &content_type, fast.as_ref()),
        None => (Representation::of_unknown_length(&content_type), None),
    };
    let bytes = ByteSource::Filling(FillingCopy::of(copy, &viewer));
    Ok(Some(ServableClip { stored, fast, ..servable(app, clip, representation, bytes) }))
}
