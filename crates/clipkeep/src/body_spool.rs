//! A body that waits: a little in memory, the rest in a file without a name,
//! which goes with the process however that ends.

use std::{io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use clipkeep_core::id::Tenant;
use futures_util::{Stream, StreamExt, stream};
use tokio::{
    fs::File,
    io::{AsyncSeekExt, AsyncWriteExt},
    task::spawn_blocking,
};
use tokio_util::io::ReaderStream;

use crate::{
    cache::mmap,
    shares::{Share, Shares},
};

/// How much of a body stays in memory.
const IN_MEMORY: usize = 64 * 1024;
const CHUNK: usize = 64 * 1024;

/// The disk that waiting bodies share, so that they leave the rest of it to the
/// clips, and no tenant's all of it to nobody else.
#[derive(Debug)]
pub struct BodySpool {
    folder: PathBuf,
    shares: Arc<Shares>,
}

impl BodySpool {
    /// Room for so many bytes, in files of `folder`.
    pub fn new(folder: PathBuf, most: u64) -> Self {
        Self { folder, shares: Shares::new(most) }
    }

    /// How many bytes are taken.
    pub fn used(&self) -> u64 {
        self.shares.used()
    }
}

/// What came of a body so far.
pub(super) struct SpooledBody {
    folder: PathBuf,
    share: Share,
    memory: Vec<u8>,
    file: Option<File>,
    len: u64,
}

impl SpooledBody {
    /// An empty one, which takes of `room` what does not stay in memory: for this
    /// tenant, or for an admin.
    pub(super) fn new(room: &BodySpool, of: Option<&Tenant>) -> Self {
        let (folder, share) = (room.folder.clone(), room.shares.enter(of));
        Self { folder, share, memory: Vec::new(), file: None, len: 0 }
    }

    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Adds bytes. `QuotaExceeded` where there is no room for them.
    pub(super) async fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        if self.file.is_none() && self.memory.len() + bytes.len() > IN_MEMORY {
            grow(&mut self.share, &self.memory)?;
            let folder = self.folder.clone();
            let file = spawn_blocking(move || tempfile::tempfile_in(folder)).await.map_err(io::Error::other)??;
            let mut file = File::from_std(file);
            file.write_all(&std::mem::take(&mut self.memory)).await?;
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => {
                grow(&mut self.share, bytes)?;
                file.write_all(bytes).await
            }
            None => {
                self.memory.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// The body as it is so far, without bringing it into memory.
    pub(super) async fn map(&mut self) -> io::Result<Bytes> {
        let Some(file) = &mut self.file else { return Ok(Bytes::copy_from_slice(&self.memory)) };
        file.flush().await?;
        let (file, len) = (file.try_clone().await?.into_std().await, self.len);
        spawn_blocking(move || mmap::map_file(file, len)).await.map_err(io::Error::other)?
    }

    /// The body, from its beginning.
    pub(super) async fn read(self) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
        let Some(mut file) = self.file else {
            return Ok(stream::iter([Ok(Bytes::from(self.memory))]).left_stream());
        };
        // What a write failed of is told here at the latest.
        file.flush().await?;
        file.rewind().await?;
        let share = self.share;
        let chunks = ReaderStream::with_capacity(file, CHUNK);
        // Its room is taken for as long as its file is there.
        let holding = move |_: &io::Result<Bytes>| {
            let _held = &share;
        };
        Ok(chunks.inspect(holding).right_stream())
    }
}

fn grow(share: &mut Share, by: &[u8]) -> io::Result<()> {
    share.grow(by.len() as u64).then_some(()).ok_or_else(|| io::ErrorKind::QuotaExceeded.into())
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn short_and_long_bodies_come_back_and_leave_no_file() {
        for len in [0, 1, IN_MEMORY, IN_MEMORY + 1, 3_000_000usize] {
            let folder = tempfile::tempdir().unwrap();
            let body: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let room = BodySpool::new(folder.path().to_owned(), 4_000_000);
            let mut spool = SpooledBody::new(&room, None);
            for chunk in body.chunks(70_001) {
                spool.push(chunk).await.unwrap();
            }
            assert_eq!(spool.len(), len as u64);
            let chunks: Vec<Bytes> = spool.read().await.unwrap().try_collect().await.unwrap();
            assert_eq!(chunks.concat(), body);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
            assert_eq!(room.used(), 0);
        }
    }

    #[tokio::test]
    async fn all_bodies_together_take_no_more_than_their_room() {
        let folder = tempfile::tempdir().unwrap();
        let room = BodySpool::new(folder.path().to_owned(), 200_000);
        let (mut first, mut second) = (SpooledBody::new(&room, None), SpooledBody::new(&room, None));
        first.push(&[1; 150_000]).await.unwrap();
        let refused = second.push(&[2; 100_000]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::QuotaExceeded);
        drop(second);
        let first = first.read().await.unwrap();
        // While it is read it is still there.
        let mut third = SpooledBody::new(&room, None);
        assert!(third.push(&[3; 100_000]).await.is_err());
        drop(first);
        let mut fourth = SpooledBody::new(&room, None);
        fourth.push(&[4; 200_000]).await.unwrap();
    }
}
