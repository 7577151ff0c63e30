//! One fill, top to bottom.

use std::{path::PathBuf, sync::Arc};

use clipkeep_core::{
    generation::{Clip, Sealed},
    media_type::MediaType,
    sniff::Sniffed,
    state::ClipState,
    verdict::Verdict,
};
use tokio::task::JoinHandle;

use super::{
    FillEnd, Inner, adopt,
    attempt::Ongoing,
    fetch, finalize, inbox, lease,
    local::{self, Ended, LocalCopy},
    name,
    registry::Running,
};
use crate::{
    catalog::{CatalogError, Claim},
    content,
    custody::Doubt,
    source::SourceError,
    store::{Digest, Staged, StoreError},
};

/// Why a fill ended without an object.
#[derive(Debug, thiserror::Error)]
pub(super) enum FillError {
    /// The source failed; its verdict says what that means.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What came is no acceptable media.
    #[error("{0}")]
    Unacceptable(String),
    /// What came broke off without anyone saying so.
    #[error("{0}")]
    Incomplete(String),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store is another's, or that cannot be told.
    #[error(transparent)]
    NotOurs(#[from] Doubt),
    /// The catalogue did not take it, or the lease is gone.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("keeping the clip on the local disk")]
    Disk(#[from] std::io::Error),
    /// The provider did not write it into our store so far.
    #[error("the provider has not put it into the store yet")]
    NotLanded,
    /// It came as data, which is in our store no more.
    #[error("it came as data, and there is no other copy")]
    InlineGone,
    #[error("the clip was deleted")]
    Deleted,
    #[error("another node took over")]
    LeaseLost,
    #[error("the node stops")]
    Stopping,
}

impl FillError {
    /// Whether the next attempt may go on with what this one brought.
    fn is_passing(&self) -> bool {
        match self {
            Self::Source(error) => matches!(error.verdict(), Verdict::Retry { .. } | Verdict::Missing(_)),
            Self::Store(_) | Self::NotOurs(_) | Self::Catalog(_) | Self::LeaseLost | Self::Stopping => true,
            Self::Unacceptable(_)
            | Self::Incomplete(_)
            | Self::Disk(_)
            | Self::NotLanded
            | Self::InlineGone
            | Self::Deleted => false,
        }
    }
}

/// The upload that goes on beside the download.
type Staging = JoinHandle<Result<Staged, StoreError>>;

/// Fills the claimed clip and writes down how that ended. Runs to its end in a
/// tracked task. Whatever kills it halfway leaves a lease that runs out, a
/// local file that is swept at start, and at most one multipart upload, which
/// the next fill of this clip aborts first.
pub(super) async fn run(inner: &Inner, claim: Claim, running: &Running) -> FillEnd {
    let began = tokio::time::Instant::now();
    let mut ongoing = Ongoing::new(inner, claim);
    let result = fill(inner, &mut ongoing, running).await;
    let end = finalize::conclude(inner, &ongoing, result).await;
    let claim = &ongoing.claim;
    let over = match end {
        FillEnd::Stored | FillEnd::Lost | FillEnd::Rejected => true,
        FillEnd::Abandoned => is_over(inner, claim).await,
        FillEnd::Later | FillEnd::Nothing => false,
    };
    if end == FillEnd::Stored {
        inbox::forget(inner, &claim.clip).await;
        if let Some(stored_notices) = &inner.parts.stored_notices {
            stored_notices.send(&claim.clip.key, ongoing.copy.take());
        }
    }
    if over {
        // Nobody goes on with what an attempt kept.
        let path = partial_path(inner, claim);
        let removed = tokio::task::spawn_blocking(move || local::remove(&path)).await;
        if !matches!(removed, Ok(Ok(()))) {
            tracing::warn!(clip = %claim.lease.key, "a local copy stays until the next start");
        }
    }
    inner.parts.metrics.fill_ended(&end, began.elapsed());
    end
}

/// Whether a clip that was let go needs no further attempt: it was deleted, or
/// stored elsewhere; or here, if the lease was seen to be over before the write
/// that ended it was answered.
async fn is_over(inner: &Inner, claim: &Claim) -> bool {
    let open = |clip: Clip| matches!(clip.state, ClipState::Waiting | ClipState::Filling);
    inner.parts.catalog.clip(&claim.lease.key).await.is_ok_and(|clip| !clip.is_some_and(open))
}

/// Where the clip's copy is while it is filled.
pub(super) fn partial_path(inner: &Inner, claim: &Claim) -> PathBuf {
    inner.parts.settings.partials.join(claim.clip.first_key().as_str())
}

async fn fill(inner: &Inner, ongoing: &mut Ongoing, running: &Running) -> Result<(), FillError> {
    let claim = &ongoing.claim;
    if claim.clip.source_url.is_own_store() {
        return adopt::fill(inner, ongoing, running).await;
    }
    // Not a byte is asked of a source that could not be kept.
    inner.parts.custody.not_anothers().await?;
    if finalize::recover(inner, ongoing).await? {
        return Ok(());
    }
    let path = partial_path(inner, claim);
    let left = match claim.clip.source_url.has_url() {
        true => LocalCopy::resume(path.clone(), claim.clip.epoch).await,
        false => None,
    };
    let file = match left {
        Some(file) => file,
        None => LocalCopy::create(path).await?,
    };
    running.show(&file);
    let result = through(inner, ongoing, &file, running).await;
    file.close();
    // A folder has the very file.
    if let Some(stored_notices) =
        inner.parts.stored_notices.as_ref().filter(|_| result.is_ok() && !inner.parts.store.is_folder())
    {
        ongoing.copy = stored_notices.hold(&ongoing.claim.clip.key, file.path()).await;
    }
    if result.as_ref().is_err_and(FillError::is_passing) && file.persist().await.is_ok() {
        file.keep();
    }
    result
}

/// The copy to its end, then the store.
async fn through(
    inner: &Inner,
    ongoing: &mut Ongoing,
    file: &Arc<LocalCopy>,
    running: &Running,
) -> Result<(), FillError> {
    let mut staging = None;
    let copied = tokio::select! {
        copied = copy(inner, ongoing, file, &mut staging) => copied,
        () = lease::hold(inner, &ongoing.claim.lease, file) => Err(FillError::LeaseLost),
        () = running.deleted() => Err(FillError::Deleted),
        () = inner.stopping.cancelled() => Err(FillError::Stopping),
    };
    let Copied { mut staged, container, sealed } = match copied {
        Ok(copied) => copied,
        Err(error) => {
            file.close();
            abandon(staging).await;
            return Err(error);
        }
    };
    if let Some(to) = name::wanted(inner, &ongoing.claim, container, &sealed).await? {
        let cleared = tokio::select! {
            cleared = name::clear(inner, &ongoing.claim, file, staged) => cleared,
            () = lease::hold(inner, &ongoing.claim.lease, file) => Err(FillError::LeaseLost),
        };
        cleared?;
        staged = None;
        name::give(inner, ongoing, running, to).await?;
    }
    tokio::select! {
        published = finalize::publish(inner, ongoing, file, staged, &sealed) => published,
        () = lease::hold(inner, &ongoing.claim.lease, file) => Err(FillError::LeaseLost),
    }
}

/// All of a clip is here, and what it is.
struct Copied {
    /// Its upload; none if it must be staged under another name.
    staged: Option<Staged>,
    /// What its first bytes are taken for.
    container: &'static MediaType,
    sealed: Sealed,
}

/// Waits for the upload's end: it notices that its file's writer is gone, and
/// takes back its parts.
async fn abandon(staging: Option<Staging>) {
    let Some(staging) = staging else { return };
    if let Ok(Ok(staged)) = staging.await {
        staged.abort().await;
    }
}

/// Download and upload side by side; then a look at what it was.
async fn copy(
    inner: &Inner,
    ongoing: &Ongoing,
    file: &Arc<LocalCopy>,
    staging: &mut Option<Staging>,
) -> Result<Copied, FillError> {
    let download = async {
        match ongoing.claim.clip.source_url.inline_sha256() {
            Some(sha256) => inbox::bring(inner, &ongoing.claim, file, sha256).await,
            None => fetch::fetch(inner, ongoing, file).await,
        }
    };
    let upload = stage(inner, &ongoing.claim, file, staging);
    let judged = async {
        judge(&ongoing.claim.clip, file).await;
        Ok(())
    };
    let ((), (), (staged, container)) = tokio::try_join!(download, judged, upload)?;
    match finalize::probe(inner, file, container).await {
        Ok(media) => {
            let Digest { size, sha256 } = staged.digest().clone();
            Ok(Copied { staged: Some(staged), container, sealed: Sealed { size, sha256, media } })
        }
        Err(error) => {
            // Staged parts must not outlive the verdict.
            staged.abort().await;
            Err(error)
        }
    }
}

/// Proves a copy whole whose length nobody promised, as soon as all that came is
/// here: its viewers wait for that, and shall not have to wait for the upload.
async fn judge(clip: &Clip, file: &Arc<LocalCopy>) {
    loop {
        match file.reader().wait_for(u64::MAX).await {
            Ok(_) => break,
            Err(Ended::Restarted) => {}
            // The download says why.
            Err(_) => return,
        }
    }
    if !file.is_complete()
        && let Ok(Ok(media)) = media_type(clip, file).await
        && finalize::read_facts(file, media).await.is_ok()
    {
        file.accept();
    }
}

/// Uploads the file while it grows; begins anew when the download did.
async fn stage(
    inner: &Inner,
    claim: &Claim,
    file: &Arc<LocalCopy>,
    staging: &mut Option<Staging>,
) -> Result<(Staged, &'static MediaType), FillError> {
    loop {
        let media = match media_type(&claim.clip, file).await {
            Ok(media) => media?,
            Err(Ended::Restarted) => continue,
            // The download says why; this half has nothing to add.
            Err(Ended::Aborted) => std::future::pending().await,
            Err(Ended::Unreadable(error)) => return Err(FillError::Disk(error)),
        };
        inner.parts.custody.not_anothers().await?;
        let (store, key, growing) = (Arc::clone(&inner.parts.store), claim.lease.key.clone(), Arc::clone(file));
        let task = inner.tasks.spawn(async move { store.stage(&key, media.name, &growing).await });
        let ended = staging.insert(task).await;
        *staging = None;
        match ended {
            Ok(Ok(staged)) => return Ok((staged, media)),
            Ok(Err(StoreError::Spool(Ended::Restarted))) => {}
            Ok(Err(StoreError::Spool(Ended::Aborted))) => std::future::pending().await,
            Ok(Err(error)) => return Err(error.into()),
            Err(panicked) => return Err(FillError::Disk(std::io::Error::other(panicked))),
        }
    }
}

/// Waits for the file's beginning; says what it is, or that it is nothing.
pub(super) async fn media_type(
    clip: &Clip,
    file: &Arc<LocalCopy>,
) -> Result<Result<&'static MediaType, FillError>, Ended> {
    Ok(match content::sniff(&mut file.uncounted_viewer(), None, &clip.content_type).await?.0 {
        Sniffed::Media(media) => Ok(media),
        Sniffed::NotMedia(what) => Err(FillError::Unacceptable(format!("the source sent {what}, no media"))),
        Sniffed::Unknown => Err(FillError::Unacceptable("the source sent bytes of no known media type".to_owned())),
    })
}
