//! Outputs that came as data within a webhook or a result: put into the store
//! before that is acknowledged, and from there filled as any other.
//!
//! Each is an object of its own beside the clips, under a name that its
//! generation and its bytes make: told again, it is there already, and no two
//! generations share one, so that the fill which stored the clip may remove it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use clipkeep_core::{
    generation::Clip,
    hook::Inline,
    id::{Provider, RequestId},
    version::SourceVersion,
};
use data_encoding::HEXLOWER;
use futures_util::TryStreamExt;
use ring::digest::{Context, SHA256};

use super::{
    Inner,
    local::{LocalCopy, Opened},
    task::FillError,
};
use crate::{
    catalog::Claim,
    custody::{Custody, Doubt},
    store::{Digest, Hasher, StoreError},
};

/// Tells apart what is decoded at the same time.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Where outputs that came as data wait.
pub struct Inbox {
    custody: Arc<Custody>,
    /// Where they are decoded to.
    partials: PathBuf,
}

/// Why an output could not be put there.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    #[error("decoding an inline output to the local disk")]
    Disk(#[from] std::io::Error),
    /// The store did not take it.
    #[error("putting an inline output into the store")]
    Store(#[from] StoreError),
    /// The store is another's, or that cannot be told.
    #[error("putting an inline output into the store")]
    NotOurs(#[from] Doubt),
}

impl Inbox {
    /// One that decodes files in `partials`.
    pub const fn new(custody: Arc<Custody>, partials: PathBuf) -> Self {
        Self { custody, partials }
    }

    /// Puts an output of a generation into the store, durably. It goes through a
    /// file, so that it is not in memory. Dropping the future leaves at most an
    /// upload that the sweep ends.
    ///
    /// # Errors
    /// If disk or store do not take it.
    pub async fn keep(&self, provider: &Provider, request_id: &RequestId, inline: &Inline) -> Result<(), InboxError> {
        let name = name(provider, request_id, inline.sha256());
        if self.custody.ours().await?.inline_size(&name).await? == Some(inline.len()) {
            return Ok(());
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let file = LocalCopy::create(self.partials.join(format!("inline-{name}-{number}"))).await?;
        let kept = self.put(&name, &file, inline).await;
        file.close();
        kept
    }

    async fn put(&self, name: &str, file: &Arc<LocalCopy>, inline: &Inline) -> Result<(), InboxError> {
        let version = SourceVersion { etag: None, last_modified: None, len: Some(inline.len()) };
        file.open(Opened { epoch: 0, version, total: Some(inline.len()), ranges: false }).await?;
        let mut writer = file.writer(0);
        for chunk in inline.chunks() {
            writer.write(Bytes::from(chunk)).await?;
        }
        writer.flush().await?;
        file.complete(inline.len()).await?;
        Ok(self.custody.ours().await?.keep_inline(name, file).await?)
    }
}

/// What an output's object is called.
pub(crate) fn name(provider: &Provider, request_id: &RequestId, sha256: &str) -> String {
    let mut hash = Context::new(&SHA256);
    for part in [provider.as_str(), request_id.as_str(), sha256] {
        hash.update(part.as_bytes());
        hash.update(b"\n");
    }
    HEXLOWER.encode(hash.finish().as_ref())
}

fn name_of(clip: &Clip) -> Option<String> {
    clip.source_url.inline_sha256().map(|sha256| name(&clip.provider, &clip.request_id, sha256))
}

/// Brings the claimed clip's bytes from there into the local copy.
pub(super) async fn bring(inner: &Inner, claim: &Claim, file: &Arc<LocalCopy>, sha256: &str) -> Result<(), FillError> {
    // Another's holds nothing of it, and says nothing of ours.
    let (store, clip) = (inner.parts.custody.ours().await?, &claim.clip);
    let name = name(&clip.provider, &clip.request_id, sha256);
    let size = store.inline_size(&name).await?.ok_or(FillError::InlineGone)?;
    let version = SourceVersion { etag: None, last_modified: None, len: Some(size) };
    file.open(Opened { epoch: clip.epoch, version, total: Some(size), ranges: false }).await?;
    let mut chunks = store.read_inline(&name, size).await?;
    let (mut writer, mut hasher) = (file.writer(0), Hasher::new());
    while let Some(chunk) = chunks.try_next().await? {
        hasher = hasher.updated(vec![chunk.clone()]).await;
        writer.write(chunk).await?;
    }
    let Digest { sha256: found, .. } = hasher.finish();
    if found != sha256 {
        return Err(FillError::InlineGone);
    }
    writer.flush().await?;
    Ok(file.complete(size).await?)
}

/// The clip is stored under its own key: nobody asks for these bytes any more.
/// What a kill leaves here, the sweep removes.
pub(super) async fn forget(inner: &Inner, clip: &Clip) {
    let Some(name) = name_of(clip) else { return };
    if let Err(error) = inner.parts.store.delete_inline(&name).await {
        tracing::warn!(clip = %clip.key, error = &error as &dyn std::error::Error, "an inline output stays in the store");
    }
}
