//! A doctor's visit: does the store do all that clipkeep will ask of it?

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::TryStreamExt;
use object_store::Attributes;
use ring::rand::{SecureRandom, SystemRandom};

use super::{ObjectKey, Place, Result, Store, StoreError, key::Prefix};

/// Which step failed, and how.
#[derive(Debug, thiserror::Error)]
#[error("the store cannot {step}")]
pub struct ProbeFailure {
    /// What could not be done, in words: `write an object`.
    pub step: &'static str,
    #[source]
    pub source: StoreError,
}

impl Store {
    /// Writes, reads, lists and deletes for real, under a name that no clip
    /// can have, and tells the first step that failed.
    pub async fn probe(&self) -> Result<(), ProbeFailure> {
        let at = |step| move |source| ProbeFailure { step, source };
        let key = self.prefix().doctor(&nonce());
        let bytes = Bytes::from(nonce());
        self.write_small(&key, &bytes).await.map_err(at("write an object"))?;
        let read = self.read_back(&key, &bytes).await;
        let listed = self.list_stale().await;
        // Delete before judging, so that a failed reading leaves nothing.
        let deleted = self.delete_object(&key).await;
        read.map_err(at("read an object back"))?;
        listed.map_err(at("list unfinished uploads"))?;
        deleted.map_err(at("delete an object"))
    }

    pub(super) fn prefix(&self) -> Prefix {
        match &self.0 {
            Place::Folder(_) => Prefix::default(),
            Place::S3(s3) => s3.prefix().clone(),
        }
    }

    pub(super) async fn write_small(&self, key: &ObjectKey, bytes: &Bytes) -> Result<()> {
        match &self.0 {
            Place::Folder(folder) => folder.write_small(key, bytes.clone()).await,
            Place::S3(s3) => s3.put(key, bytes, &Attributes::new()).await,
        }
    }

    async fn read_back(&self, key: &ObjectKey, bytes: &Bytes) -> Result<()> {
        // Not from the start, so that a store without ranges shows.
        let expected = bytes.slice(1..);
        let read: Vec<Bytes> = self.read_object(key, 1..bytes.len() as u64).await?.try_collect().await?;
        if read.concat() == expected {
            return Ok(());
        }
        let why = "other bytes came back than were written".to_owned();
        Err(StoreError::Unavailable { doing: "reading", key: key.clone(), why })
    }
}

/// A name that nothing else has.
pub(super) fn nonce() -> String {
    let mut bytes = [0; 12];
    SystemRandom::new().fill(&mut bytes).expect("the system's randomness does not fail");
    HEXLOWER.encode(&bytes)
}
