//! Uploads to a bucket: parts go up while the clip still comes down.
//!
//! A clip of at most one part is put in one request, a larger one as a multipart
//! upload. Every request's payload is signed, so the bucket itself verifies the
//! bytes' SHA-256; checksum trailers, which some buckets refuse, are not used.
//!
//! A part is in memory only while it holds one of the store's permits.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use clipkeep_core::delivery::header::may_run;
use object_store::{
    Attribute, Attributes, Error, MultipartId, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    multipart::{MultipartStore, PartId},
};
use tokio::{sync::OwnedSemaphorePermit, task::JoinSet};

use super::{
    Digest, ObjectKey, Result, StoreError,
    error::from_client,
    hash::Hasher,
    s3::{MAX_PARTS, S3},
};
use crate::fill::local::{LocalCopy, Reader};

/// What is staged in a bucket.
pub(super) enum StagedUpload {
    /// A small clip: its bytes wait here, under their permit.
    Whole { bytes: Bytes, attributes: Attributes, _permit: OwnedSemaphorePermit },
    /// A multipart upload with all its parts.
    Parts { id: MultipartId, parts: Vec<PartId> },
}

impl S3 {
    pub(super) async fn stage(
        &self,
        key: &ObjectKey,
        content_type: &str,
        file: &Arc<LocalCopy>,
    ) -> Result<(Digest, StagedUpload)> {
        let mut attributes: Attributes = [(Attribute::ContentType, content_type.to_owned())].into_iter().collect();
        // A CDN in front of the bucket knows of no sandbox.
        if may_run(content_type) {
            attributes.insert(Attribute::ContentDisposition, "attachment".into());
        }
        let mut reader = file.reader();
        let available = reader.wait_for(self.part_size + 1).await?;
        if available > self.part_size {
            return self.stage_parts(key, attributes, reader).await;
        }
        let permit = self.permit().await;
        let bytes = reader.read_at(0..available).await?;
        let digest = Hasher::new().updated(vec![bytes.clone()]).await.finish();
        Ok((digest, StagedUpload::Whole { bytes, attributes, _permit: permit }))
    }

    async fn stage_parts(
        &self,
        key: &ObjectKey,
        attributes: Attributes,
        reader: Reader,
    ) -> Result<(Digest, StagedUpload)> {
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let created = self.client.create_multipart_opts(key.path(), options).await;
        let id = created.map_err(|e| from_client("beginning the upload of", key, &e))?;
        let mut flight = Flight { s3: self, key, id: &id, running: JoinSet::new(), done: Vec::new() };
        let sent = flight.send_all(reader).await;
        // Abort only once no part is on its way any more: one that lands after
        // the abort would stay for ever.
        flight.running.shutdown().await;
        let parts = flight.done;
        match sent {
            Ok(digest) => Ok((digest, StagedUpload::Parts { id, parts: in_order(parts) })),
            Err(e) => {
                self.abort_upload(key, &id).await;
                Err(e)
            }
        }
    }

    pub(super) async fn publish(&self, key: &ObjectKey, staged: StagedUpload, size: u64) -> Result<()> {
        let result = self.make_visible(key, &staged).await;
        if result.is_err() {
            self.abort(key, staged).await;
        }
        // Whatever the answer was, the object decides: a request may succeed
        // and its answer be lost, or be tried again and meet its own success.
        match (self.head(key).await?, result) {
            (Some(there), Ok(())) if there.size == size => Ok(()),
            (Some(there), Ok(())) => Err(StoreError::Damaged { key: key.clone(), expected: size, found: there.size }),
            (None, Ok(())) => Err(unavailable(key, "it is not there after the upload")),
            (Some(_), Err(_)) => Err(StoreError::Exists { key: key.clone() }),
            (None, Err(StoreError::Exists { .. })) => Err(unavailable(key, "another writer is at it")),
            (None, Err(e)) => Err(e),
        }
    }

    async fn make_visible(&self, key: &ObjectKey, staged: &StagedUpload) -> Result<()> {
        if self.head(key).await?.is_some() {
            return Err(StoreError::Exists { key: key.clone() });
        }
        match staged {
            StagedUpload::Whole { bytes, attributes, .. } => self.put(key, bytes, attributes).await,
            StagedUpload::Parts { id, parts } => self.complete(key, id, parts).await,
        }
    }

    pub(super) async fn abort(&self, key: &ObjectKey, staged: StagedUpload) {
        if let StagedUpload::Parts { id, .. } = staged {
            self.abort_upload(key, &id).await;
        }
    }

    async fn abort_upload(&self, key: &ObjectKey, id: &MultipartId) {
        match self.client.abort_multipart(key.path(), id).await {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(e) => {
                let error = from_client("aborting the upload of", key, &e);
                tracing::warn!(%error, "an upload stays open until it is aborted as stale");
            }
        }
    }

    /// Puts an object in one request, if there is none.
    pub(super) async fn put(&self, key: &ObjectKey, bytes: &Bytes, attributes: &Attributes) -> Result<()> {
        let put = async |mode| {
            let options = PutOptions { mode, attributes: attributes.clone(), ..PutOptions::default() };
            let put = self.client.put_opts(key.path(), PutPayload::from(bytes.clone()), options).await;
            put.map(drop).map_err(|e| from_client("writing", key, &e))
        };
        if self.knows_conditions.load(Ordering::Relaxed) {
            match put(PutMode::Create).await {
                // It says so; from now on the look before the act has to do.
                Err(StoreError::Unavailable { why, .. }) if why.starts_with("501") => {
                    self.knows_conditions.store(false, Ordering::Relaxed);
                }
                other => return other,
            }
        }
        put(PutMode::Overwrite).await
    }

    /// Puts an object there, in place of what may be there.
    pub(super) async fn put_over(&self, key: &ObjectKey, bytes: &Bytes, attributes: &Attributes) -> Result<()> {
        let options = PutOptions { mode: PutMode::Overwrite, attributes: attributes.clone(), ..PutOptions::default() };
        let put = self.client.put_opts(key.path(), PutPayload::from(bytes.clone()), options).await;
        put.map(drop).map_err(|e| from_client("uploading", key, &e))
    }

    async fn complete(&self, key: &ObjectKey, id: &MultipartId, parts: &[PartId]) -> Result<()> {
        match self.client.complete_multipart(key.path(), id, parts.to_vec()).await {
            Ok(_) => Ok(()),
            // The upload, not the object: `publish` looks for the object.
            Err(Error::NotFound { .. }) => Err(unavailable(key, "the upload is gone")),
            Err(e) => Err(from_client("completing the upload of", key, &e)),
        }
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.parts).acquire_owned().await.expect("the semaphore is never closed")
    }
}

/// A multipart upload whose parts are on their way.
struct Flight<'a> {
    s3: &'a S3,
    key: &'a ObjectKey,
    id: &'a MultipartId,
    running: JoinSet<Result<(usize, PartId)>>,
    done: Vec<(usize, PartId)>,
}

impl Flight<'_> {
    async fn send_all(&mut self, mut reader: Reader) -> Result<Digest> {
        let part_size = self.s3.part_size;
        let mut hasher = Hasher::new();
        for index in 0..MAX_PARTS {
            let start = index * part_size;
            let (available, permit) = self.next(&mut reader, start + part_size + 1).await?;
            let bytes = reader.read_at(start..available.min(start + part_size)).await?;
            hasher = hasher.updated(vec![bytes.clone()]).await;
            self.send(usize::try_from(index).expect("below 10,000"), bytes, permit);
            if available <= start + part_size {
                while let Some(part) = self.running.join_next().await {
                    self.landed(part)?;
                }
                return Ok(hasher.finish());
            }
        }
        Err(StoreError::TooLarge { key: self.key.clone(), limit: MAX_PARTS * part_size })
    }

    /// Waits until `len` bytes are there (or all) and a part may be in memory;
    /// meanwhile notices parts that failed.
    async fn next(&mut self, reader: &mut Reader, len: u64) -> Result<(u64, OwnedSemaphorePermit)> {
        loop {
            let ready = async {
                let available = reader.wait_for(len).await?;
                Ok((available, self.s3.permit().await))
            };
            tokio::select! {
                ready = ready => return ready,
                Some(part) = self.running.join_next() => self.landed(part)?,
            }
        }
    }

    fn send(&mut self, index: usize, bytes: Bytes, permit: OwnedSemaphorePermit) {
        let (client, key, id) = (self.s3.client.clone(), self.key.clone(), self.id.clone());
        self.running.spawn(async move {
            let put = client.put_part(key.path(), &id, index, PutPayload::from(bytes)).await;
            drop(permit);
            put.map(|part| (index, part)).map_err(|e| match e {
                // Aborted by another node, which holds the lease now.
                Error::NotFound { .. } => unavailable(&key, "the upload is gone"),
                e => from_client("uploading a part of", &key, &e),
            })
        });
    }

    fn landed(&mut self, part: Result<Result<(usize, PartId)>, tokio::task::JoinError>) -> Result<()> {
        let part = part.map_err(|_| unavailable(self.key, "the upload of a part stopped"))??;
        self.done.push(part);
        Ok(())
    }
}

fn in_order(mut parts: Vec<(usize, PartId)>) -> Vec<PartId> {
    parts.sort_by_key(|(index, _)| *index);
    parts.into_iter().map(|(_, part)| part).collect()
}

fn unavailable(key: &ObjectKey, why: &str) -> StoreError {
    StoreError::Unavailable { doing: "uploading", key: key.clone(), why: why.to_owned() }
}
