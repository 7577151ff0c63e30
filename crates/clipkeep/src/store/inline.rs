//! Objects beside the clips: outputs that came as data, until they are filled.

use std::sync::Arc;

use super::{ByteStream, ObjectKey, Place, Result, Store, key::Prefix};
use crate::fill::local::LocalCopy;

impl Store {
    fn inline_key(&self, name: &str) -> ObjectKey {
        match &self.0 {
            Place::Folder(_) => Prefix::default().inline(name),
            Place::S3(s3) => s3.prefix().inline(name),
        }
    }

    /// Puts a complete file there, durably, if there is none of this name.
    pub async fn keep_inline(&self, name: &str, file: &Arc<LocalCopy>) -> Result<()> {
        let staged = self.stage_object(self.inline_key(name), "application/octet-stream", file).await?;
        staged.publish().await.map(drop)
    }

    /// How many bytes it has, if it is there.
    pub async fn inline_size(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.head_object(&self.inline_key(name)).await?.map(|object| object.size))
    }

    /// Its bytes.
    pub async fn read_inline(&self, name: &str, size: u64) -> Result<ByteStream> {
        self.read_object(&self.inline_key(name), 0..size).await
    }

    /// Removes it. That it was not there is fine.
    pub async fn delete_inline(&self, name: &str) -> Result<()> {
        self.delete_object(&self.inline_key(name)).await
    }
}
