//! A clip that its provider writes straight into our own store: waited for,
//! read once, hashed, probed and recorded. Nothing is downloaded from a source,
//! and the object stays as the provider wrote it.

use std::sync::Arc;

use clipkeep_core::{
    generation::{Facts, Hearsay, HookRecord, Origin, Sealed},
    state::GenerationStatus,
    version::SourceVersion,
};
use futures_util::TryStreamExt;

use super::{
    Inner,
    attempt::Ongoing,
    finalize, lease,
    local::{Ended, LocalCopy, Opened},
    registry::Running,
    task::{FillError, media_type, partial_path},
};
use crate::{
    catalog::Claim,
    store::{Digest, Hasher, Pin, StoreError},
};

/// Records the claimed clip's object, if it is there. A kill at any point
/// leaves the object as it is, and the next fill begins anew.
pub(super) async fn fill(inner: &Inner, ongoing: &Ongoing, running: &Running) -> Result<(), FillError> {
    let claim = &ongoing.claim;
    // Another's store says nothing of the provider: neither what is there, nor
    // that nothing is.
    let object = inner.parts.custody.ours().await?.head(&claim.lease.key).await?;
    // An empty one is no clip yet.
    let size = object.map_or(0, |object| object.size);
    if size == 0 {
        return Err(FillError::NotLanded);
    }
    let max = inner.parts.settings.max_clip_size;
    if size > max {
        return Err(FillError::Unacceptable(format!("the object is larger than {max} bytes (max_clip_size)")));
    }
    let file = LocalCopy::create(partial_path(inner, claim)).await?;
    let recorded = tokio::select! {
        recorded = record(inner, ongoing, &file, size) => recorded,
        () = lease::hold(inner, &claim.lease, &file) => Err(FillError::LeaseLost),
        () = running.deleted() => Err(FillError::Deleted),
        () = inner.stopping.cancelled() => Err(FillError::Stopping),
    };
    file.close();
    recorded
}

async fn record(inner: &Inner, ongoing: &Ongoing, file: &Arc<LocalCopy>, size: u64) -> Result<(), FillError> {
    let claim = &ongoing.claim;
    let (parts, key) = (&inner.parts, &claim.lease.key);
    let pin = Pin::default();
    let digest = bring(inner, claim, file, (size, &pin)).await?;
    let media = media_type(&claim.clip, file).await.map_err(|ended| match ended {
        Ended::Unreadable(error) => FillError::Disk(error),
        Ended::Restarted | Ended::Aborted => FillError::Stopping,
    })??;
    let media = finalize::probe(inner, file, media).await?;
    if parts.settings.fast_start {
        finalize::decide_view(inner, claim, file).await?;
    }
    let sealed = Sealed { size: digest.size, sha256: digest.sha256, media };
    // Whoever wrote it may write it again: this epoch is of what was read.
    let version = SourceVersion { etag: pin.tag().map(str::to_owned), last_modified: None, len: Some(size) };
    parts.catalog.pin(key, claim.clip.epoch, &version, None).await?;
    parts.catalog.seal(&claim.lease, &sealed, parts.clock.now()).await?;
    // And may have done so meanwhile.
    let found = parts.store.head(key).await?.map_or(0, |object| object.size);
    if found != size {
        return Err(StoreError::Damaged { key: parts.store.object_key(key), expected: size, found }.into());
    }
    drop(parts.store.read_pinned(key, 0..1, &pin).await?);
    complete(inner, claim).await?;
    Ok(parts.catalog.mark_stored(&claim.lease, ongoing.ended(inner)).await?)
}

/// The clip is there, so its generation has ended, whether or not a webhook
/// says so. Killed after this, the next fill says it again, which is no news.
pub(super) async fn complete(inner: &Inner, claim: &Claim) -> Result<(), FillError> {
    let ended = HookRecord {
        provider: claim.clip.provider.clone(),
        request_id: claim.clip.request_id.clone(),
        status: GenerationStatus::Completed,
        error: None,
        facts: Facts::default(),
        hearsay: Hearsay::default(),
        clips: Vec::new(),
        unread: None,
        received_at: inner.parts.clock.now(),
        created_at: None,
        origin: Origin::Store,
    };
    inner.parts.catalog.record_hooks(&[ended]).await?;
    Ok(())
}

/// The object into the local copy.
async fn bring(
    inner: &Inner,
    claim: &Claim,
    file: &Arc<LocalCopy>,
    (size, pin): (u64, &Pin),
) -> Result<Digest, FillError> {
    let version = SourceVersion { etag: None, last_modified: None, len: Some(size) };
    file.open(Opened { epoch: claim.clip.epoch, version, total: Some(size), ranges: false }).await?;
    let mut chunks = inner.parts.store.read_pinned(&claim.lease.key, 0..size, pin).await?;
    let (mut writer, mut hasher) = (file.writer(0), Hasher::new());
    while let Some(chunk) = chunks.try_next().await? {
        hasher = hasher.updated(vec![chunk.clone()]).await;
        writer.write(chunk).await?;
    }
    writer.flush().await?;
    file.complete(size).await?;
    Ok(hasher.finish())
}
