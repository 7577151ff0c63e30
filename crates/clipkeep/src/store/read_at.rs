//! An object in the store, to be looked at here and there.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use clipkeep_core::id::ClipKey;
use futures_util::TryStreamExt as _;

use super::{Pin, Result, Store, StoreError};
use crate::faststart::ReadAt;

/// A clip's object, and which one of those that had its name.
pub struct StoredReadAt<'a> {
    pub store: &'a Store,
    /// Under which clip's key.
    pub key: &'a ClipKey,
    pub pin: Pin,
}

impl ReadAt for StoredReadAt<'_> {
    type Error = StoreError;

    async fn read_at(&mut self, range: Range<u64>) -> Result<Bytes> {
        let chunks = self.store.read_pinned(self.key, range, &self.pin).await?;
        let all = |mut all: BytesMut, chunk: Bytes| {
            all.extend_from_slice(&chunk);
            std::future::ready(Ok(all))
        };
        Ok(chunks.try_fold(BytesMut::new(), all).await?.freeze())
    }
}
