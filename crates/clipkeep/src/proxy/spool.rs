//! A body that waits: a little in memory, the rest in a file without a name,
//! which goes with the process however that ends.

use std::{io, path::PathBuf};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::{
    fs::File,
    io::{AsyncSeekExt, AsyncWriteExt},
    task::spawn_blocking,
};
use tokio_util::io::ReaderStream;

/// How much of a body stays in memory.
const IN_MEMORY: usize = 64 * 1024;
const CHUNK: usize = 64 * 1024;

/// What came of a body so far.
pub(super) struct Spool {
    folder: PathBuf,
    memory: Vec<u8>,
    file: Option<File>,
    len: u64,
}

impl Spool {
    /// An empty one, whose file would be in `folder`.
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self { folder, memory: Vec::new(), file: None, len: 0 }
    }

    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Adds bytes.
    pub(super) async fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        if self.file.is_none() && self.memory.len() + bytes.len() > IN_MEMORY {
            let folder = self.folder.clone();
            let file = spawn_blocking(move || tempfile::tempfile_in(folder)).await.map_err(io::Error::other)??;
            let mut file = File::from_std(file);
            file.write_all(&std::mem::take(&mut self.memory)).await?;
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes).await,
            None => {
                self.memory.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// The body, from its beginning.
    pub(super) async fn read(self) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
        let Some(mut file) = self.file else {
            return Ok(stream::iter([Ok(Bytes::from(self.memory))]).left_stream());
        };
        // What a write failed of is told here at the latest.
        file.flush().await?;
        file.rewind().await?;
        Ok(ReaderStream::with_capacity(file, CHUNK).right_stream())
    }
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
            let mut spool = Spool::new(folder.path().to_owned());
            for chunk in body.chunks(70_001) {
                spool.push(chunk).await.unwrap();
            }
            assert_eq!(spool.len(), len as u64);
            let chunks: Vec<Bytes> = spool.read().await.unwrap().try_collect().await.unwrap();
            assert_eq!(chunks.concat(), body);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
