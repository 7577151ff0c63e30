//! The store: the app's own bucket or folder, which holds the canonical copies.
//!
//! An upload has two steps. Staging moves the bytes while the clip is still
//! being downloaded, and nothing is visible under the clip's key; publishing
//! makes the whole object visible at once, if there is none yet. Between the
//! two the catalogue is told what the bytes are. Whoever stages holds the
//! catalogue's fenced lease on the clip; that is the first guard of «one clip,
//! one object», and the store's own check is the second.

mod ask;
mod counted;
mod error;
mod folder;
mod hash;
mod inline;
mod key;
mod list;
mod marker;
mod pin;
mod poster;
mod probe;
mod read_at;
mod s3;
mod stale;
mod upload;

use std::{ops::Range, path::PathBuf, sync::Arc};

use bytes::Bytes;
use clipkeep_core::{config::S3Settings, id::ClipKey, time::Timestamp};
use futures_util::{TryStreamExt as _, stream::BoxStream};

pub use self::{
    error::{Result, StoreError},
    hash::Hasher,
    key::ObjectKey,
    list::{Listed, Meant},
    marker::Marker,
    pin::Pin,
    probe::ProbeFailure,
    read_at::StoredReadAt,
};
use self::{folder::Folder, key::Prefix, s3::S3};
use crate::{fill::local::LocalCopy, request_counts::RequestCounts};

/// An object's bytes as they come. An early end is an error, never a clean end.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// Where the store is.
#[derive(Clone, Debug)]
pub enum StoreTarget {
    /// A folder on this machine. Its filesystem must know hard links.
    Folder(PathBuf),
    S3 {
        bucket: String,
        /// What all names in it begin with; empty for none.
        prefix: String,
        settings: S3Settings,
    },
}

/// What uploads may use.
#[derive(Clone, Copy, Debug)]
pub struct UploadLimits {
    /// Bytes of memory for all uploads together; rounded up to one part.
    pub memory: u64,
    /// The largest clip there will be.
    pub clip_size: u64,
}

/// What bytes are: how many, and their lower-case hex SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
}

/// What the store tells of an object without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Bytes.
    pub size: u64,
}

/// An upload that was begun and never ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleUpload {
    /// The object it would have become.
    pub key: String,
    /// The store's name for the upload.
    pub upload_id: String,
    pub initiated: Timestamp,
}

/// The store. Cloning gives another handle on the same one.
#[derive(Clone)]
pub struct Store(Place);

#[derive(Clone)]
enum Place {
    Folder(Arc<Folder>),
    S3(Arc<S3>),
}

impl Store {
    /// Opens the store, and makes the folder where it is one.
    pub async fn open(target: StoreTarget, limits: UploadLimits) -> Result<Self> {
        let store = Self::at(target, limits)?;
        store.make().await?;
        Ok(store)
    }

    /// The store, as it is found: nothing is made, and nothing is asked of a
    /// bucket (see [`Store::probe`]).
    pub fn at(target: StoreTarget, limits: UploadLimits) -> Result<Self> {
        Ok(Self(match target {
            StoreTarget::Folder(root) => Place::Folder(Arc::new(Folder::at(root))),
            StoreTarget::S3 { bucket, prefix, settings } => {
                let prefix = Prefix::parse(&prefix)
                    .ok_or_else(|| StoreError::Setup { why: "its prefix is no valid path".to_owned() })?;
                Place::S3(Arc::new(S3::open(&bucket, prefix, settings, limits)?))
            }
        }))
    }

    /// Makes the folder, where it is one.
    pub async fn make(&self) -> Result<()> {
        match &self.0 {
            Place::Folder(folder) => folder.make().await,
            Place::S3(_) => Ok(()),
        }
    }

    /// The requests to the bucket; none leave for a folder.
    pub fn operations(&self) -> Arc<RequestCounts> {
        match &self.0 {
            Place::Folder(_) => Arc::default(),
            Place::S3(s3) => Arc::clone(&s3.operations),
        }
    }

    /// The name of a clip's object.
    pub fn object_key(&self, key: &ClipKey) -> ObjectKey {
        match &self.0 {
            Place::Folder(_) => Prefix::default().clip(key),
            Place::S3(s3) => s3.prefix().clip(key),
        }
    }

    /// Moves a clip's bytes to the store while `file` grows, and ends when it
    /// is complete and all of it is there; nothing is visible yet.
    ///
    /// On an error nothing stays behind. If the future is dropped, or the
    /// process dies, what was begun stays until [`Store::abort_stale`].
    pub async fn stage(&self, key: &ClipKey, content_type: &str, file: &Arc<LocalCopy>) -> Result<Staged> {
        self.stage_object(self.object_key(key), content_type, file).await
    }

    async fn stage_object(&self, key: ObjectKey, content_type: &str, file: &Arc<LocalCopy>) -> Result<Staged> {
        let (digest, bytes) = match &self.0 {
            Place::Folder(folder) => {
                let (digest, file) = folder.stage(&key, file).await?;
                (digest, StagedBytes::File(Arc::clone(folder), file))
            }
            Place::S3(s3) => {
                let (digest, upload) = s3.stage(&key, content_type, file).await?;
                (digest, StagedBytes::Upload(Arc::clone(s3), upload))
            }
        };
        Ok(Staged { store: self.clone(), key, digest, bytes })
    }

    /// What the store tells of a clip's object, if it is there.
    pub async fn head(&self, key: &ClipKey) -> Result<Option<ObjectMeta>> {
        self.head_object(&self.object_key(key)).await
    }

    /// Puts `from`'s object, of `size` bytes, under the key `to` as well, in
    /// place of what may be there. A bucket copies it by itself; a folder gives
    /// it another name.
    pub async fn copy(&self, from: &ClipKey, to: &ClipKey, size: u64) -> Result<()> {
        let (from, to) = (self.object_key(from), self.object_key(to));
        match &self.0 {
            Place::Folder(folder) => folder.copy(&from, &to).await?,
            Place::S3(s3) => s3.copy(&from, &to).await?,
        }
        match self.head_object(&to).await?.map_or(0, |object| object.size) {
            found if found == size => Ok(()),
            found => Err(StoreError::Damaged { key: to, expected: size, found }),
        }
    }

    /// Removes a clip's object. That it was not there is fine.
    pub async fn delete(&self, key: &ClipKey) -> Result<()> {
        self.delete_object(&self.object_key(key)).await
    }

    /// Reads `range` of a clip's object. Exactly these bytes come, or an error:
    /// also where a gateway ignores ranges, or the body ends early.
    pub async fn read(&self, key: &ClipKey, range: Range<u64>) -> Result<ByteStream> {
        self.read_object(&self.object_key(key), range).await
    }

    /// The same, of the very object that `pin` means, or [`StoreError::Changed`]:
    /// what is read in several requests is of one.
    pub async fn read_pinned(&self, key: &ClipKey, range: Range<u64>, pin: &Pin) -> Result<ByteStream> {
        match &self.0 {
            Place::Folder(folder) => folder.read(&self.object_key(key), range).await,
            Place::S3(s3) => s3.read(&self.object_key(key), range, pin).await,
        }
    }

    /// Reads a clip's whole object and tells what it is.
    pub async fn hash(&self, key: &ClipKey) -> Result<Digest> {
        self.hash_object(&self.object_key(key)).await
    }

    /// Where a clip's object is on this machine, if the store is a folder.
    pub fn local_path(&self, key: &ClipKey) -> Option<PathBuf> {
        match &self.0 {
            Place::Folder(folder) => Some(folder.path(&self.object_key(key))),
            Place::S3(_) => None,
        }
    }

    /// Whether it is a folder on this machine.
    pub const fn is_folder(&self) -> bool {
        matches!(self.0, Place::Folder(_))
    }

    /// Ends every upload of this clip that was begun and never ended. For the
    /// holder of the clip's lease, before it stages: whoever else stages this
    /// clip has lost the lease, and fails. Answers how many there were.
    pub async fn abort_stale(&self, key: &ClipKey) -> Result<usize> {
        let key = self.object_key(key);
        match &self.0 {
            Place::Folder(folder) => folder.abort_stale(&key).await,
            Place::S3(s3) => s3.abort_stale(&key).await,
        }
    }

    /// All uploads under this store's prefix that were begun and not ended,
    /// those that are running now among them.
    pub async fn list_stale(&self) -> Result<Vec<StaleUpload>> {
        self.stale().try_concat().await
    }

    /// Removes what a killed process staged in a folder. Only for the one
    /// process that fills, before it does: what another is staging would go
    /// too. A bucket is shared with other nodes, so nothing happens there.
    pub async fn clear_staging(&self) -> Result<()> {
        match &self.0 {
            Place::Folder(folder) => folder.clear_staging().await,
            Place::S3(_) => Ok(()),
        }
    }

    async fn head_object(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>> {
        match &self.0 {
            Place::Folder(folder) => folder.head(key).await,
            Place::S3(s3) => s3.head(key).await,
        }
    }

    async fn delete_object(&self, key: &ObjectKey) -> Result<()> {
        match &self.0 {
            Place::Folder(folder) => folder.delete(key).await,
            Place::S3(s3) => s3.delete(key).await,
        }
    }

    async fn read_object(&self, key: &ObjectKey, range: Range<u64>) -> Result<ByteStream> {
        match &self.0 {
            Place::Folder(folder) => folder.read(key, range).await,
            Place::S3(s3) => s3.read(key, range, &Pin::default()).await,
        }
    }

    async fn hash_object(&self, key: &ObjectKey) -> Result<Digest> {
        let meta = self.head_object(key).await?.ok_or_else(|| StoreError::NotFound { key: key.clone() })?;
        hash::hash_stream(self.read_object(key, 0..meta.size).await?).await
    }
}

/// A clip whose bytes are in the store, but not visible yet. End it by
/// [`Staged::publish`] or [`Staged::abort`]; dropped, its bytes lie about
/// until [`Store::abort_stale`].
#[must_use = "the bytes are not visible until published"]
pub struct Staged {
    store: Store,
    key: ObjectKey,
    digest: Digest,
    bytes: StagedBytes,
}

enum StagedBytes {
    File(Arc<Folder>, folder::StagedFile),
    Upload(Arc<S3>, upload::StagedUpload),
}

impl Staged {
    /// What exactly the bytes are that were handed to the store.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Makes the object visible, whole, and confirms its length. Where there is
    /// an object already nothing is overwritten: if it holds the same bytes
    /// (an earlier try got through) that is success, otherwise
    /// [`StoreError::Exists`].
    ///
    /// A folder, and a bucket that honours `If-None-Match: *` on a single put,
    /// decide this in one step. Elsewhere (multipart uploads, Garage) it is a
    /// look before the act, and only the catalogue's lease closes the gap.
    ///
    /// On an error nothing of the upload stays behind, but whether the object
    /// became visible may be unknown; [`Store::hash`] tells.
    pub async fn publish(self) -> Result<Digest> {
        let published = match self.bytes {
            StagedBytes::File(folder, file) => folder.publish(&self.key, file, self.digest.size).await,
            StagedBytes::Upload(s3, upload) => s3.publish(&self.key, upload, self.digest.size).await,
        };
        match published {
            Ok(()) => Ok(self.digest),
            Err(exists @ StoreError::Exists { .. }) => {
                let there = self.store.hash_object(&self.key).await?;
                if there == self.digest { Ok(self.digest) } else { Err(exists) }
            }
            Err(e) => Err(e),
        }
    }

    /// Takes the bytes back. As good as it gets: what cannot be removed now is
    /// left to [`Store::abort_stale`].
    pub async fn abort(self) {
        match self.bytes {
            StagedBytes::File(folder, file) => folder.abort(file).await,
            StagedBytes::Upload(s3, upload) => s3.abort(&self.key, upload).await,
        }
    }
}
