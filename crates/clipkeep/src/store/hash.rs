//! SHA-256 over bytes as they pass, away from the async threads.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::{Stream, TryStreamExt};
use ring::digest::{Context, SHA256};
use tokio::task::spawn_blocking;

use super::{Digest, StoreError};

/// How much a stream's hash collects before it goes to a blocking thread.
const BATCH: usize = 1024 * 1024;

/// A running hash.
pub struct Hasher {
    context: Context,
    size: u64,
}

impl Hasher {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self { context: Context::new(&SHA256), size: 0 }
    }

    /// Takes the next bytes in. Computes: not for an async thread.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// Takes the next bytes in on a blocking thread.
    pub async fn updated(mut self, bytes: Vec<Bytes>) -> Self {
        let work = spawn_blocking(move || {
            bytes.iter().for_each(|chunk| self.update(chunk));
            self
        });
        work.await.expect("hashing cannot panic, and nobody aborts it")
    }

    /// What went in.
    pub fn finish(self) -> Digest {
        Digest { size: self.size, sha256: HEXLOWER.encode(self.context.finish().as_ref()) }
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

/// The hash of everything `stream` gives.
pub(super) async fn hash_stream(
    mut stream: impl Stream<Item = Result<Bytes, StoreError>> + Unpin,
) -> Result<Digest, StoreError> {
    let mut hasher = Hasher::new();
    let mut batch = Vec::new();
    let mut batched = 0;
    while let Some(chunk) = stream.try_next().await? {
        batched += chunk.len();
        batch.push(chunk);
        if batched >= BATCH {
            hasher = hasher.updated(std::mem::take(&mut batch)).await;
            batched = 0;
        }
    }
    Ok(hasher.updated(batch).await.finish())
}
