//! A local spool file that one writer appends to while others read it.
//!
//! The download writes it, the upload reads it: neither waits for the other to
//! finish, and what is in memory is bounded by the readers' own reads. The file
//! is temporary and goes with its last handle.

use std::{
    fs::File,
    io::{self, Seek, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use tokio::{sync::watch, task::spawn_blocking};

/// How much the writer collects before it goes to the disk.
const BATCH: usize = 256 * 1024;

/// Why a reader gets no more bytes.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The writer started over: what was read so far belongs to other bytes.
    #[error("the download started over")]
    Restarted,
    /// The writer gave up; the file will never be complete.
    #[error("the download was given up")]
    Aborted,
    /// The disk did not give the bytes back.
    #[error("reading the spool file")]
    Unreadable(#[from] io::Error),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Growing,
    Complete,
    Aborted,
}

#[derive(Clone, Copy)]
struct Progress {
    generation: u64,
    len: u64,
    phase: Phase,
}

/// A file that grows. Dropping the last handle removes it from the disk.
pub struct GrowingFile {
    path: PathBuf,
    file: File,
    progress: watch::Sender<Progress>,
}

impl GrowingFile {
    /// Makes an empty file at `path`, where none may be yet, and its one writer.
    pub async fn create(path: PathBuf) -> io::Result<(Writer, Arc<Self>)> {
        let (path, file) = blocking(move || {
            let file = File::options().read(true).write(true).create_new(true).open(&path)?;
            Ok((path, file))
        })
        .await?;
        let start = Progress { generation: 0, len: 0, phase: Phase::Growing };
        let growing = Arc::new(Self { path, file, progress: watch::Sender::new(start) });
        Ok((Writer { file: Arc::clone(&growing), batch: Vec::with_capacity(BATCH), broken: false }, growing))
    }

    /// How many bytes are there to be read now.
    pub fn len(&self) -> u64 {
        self.progress.borrow().len
    }

    /// Whether no byte is there yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the file is. It may be linked to from elsewhere: once complete,
    /// its bytes never change.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A reader of the bytes as of now: should the writer start over, this
    /// reader ends with [`Ended::Restarted`] and never mixes old and new.
    pub fn reader(self: &Arc<Self>) -> Reader {
        let progress = self.progress.subscribe();
        let generation = progress.borrow().generation;
        Reader { file: Arc::clone(self), generation, progress }
    }
}

impl Drop for GrowingFile {
    fn drop(&mut self) {
        // What cannot be removed now, the next start's sweep removes.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The one who appends. Dropping it before [`Writer::finish`] ends every
/// reader with [`Ended::Aborted`].
///
/// If one of its methods fails, or its future is dropped before it is ready,
/// the file is of no more use: what follows fails too.
pub struct Writer {
    file: Arc<GrowingFile>,
    /// One buffer for all of the download: chunks are copied into it, because
    /// holding on to them would hold the connection's much larger buffers.
    batch: Vec<u8>,
    broken: bool,
}

impl Writer {
    /// Appends a chunk. It may stay in memory until 256 KiB came together, the
    /// file is flushed, or finished.
    pub async fn write(&mut self, mut chunk: Bytes) -> io::Result<()> {
        while !chunk.is_empty() {
            let room = BATCH - self.batch.len();
            self.batch.extend_from_slice(&chunk.split_to(room.min(chunk.len())));
            if self.batch.len() == BATCH {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Hands everything written so far to the readers.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut batch = std::mem::take(&mut self.batch);
        let written = batch.len() as u64;
        let write = move |mut file: &File| {
            file.write_all(&batch)?;
            batch.clear();
            Ok(batch)
        };
        self.batch = self.on_disk(write).await?;
        self.file.progress.send_modify(|progress| progress.len += written);
        Ok(())
    }

    /// Starts over from nothing. Readers of what was there so far end.
    pub async fn reset(&mut self) -> io::Result<()> {
        self.batch.clear();
        // First the news, then the deed: a reader that still sees the old
        // generation after its read has read old bytes only.
        self.file.progress.send_modify(|progress| {
            progress.generation += 1;
            progress.len = 0;
        });
        self.on_disk(|mut file| {
            file.set_len(0)?;
            file.rewind()
        })
        .await
    }

    /// All bytes came: the file is complete and never changes again. Answers
    /// its length. It is not synced to the disk; the spool is expendable.
    pub async fn finish(mut self) -> io::Result<u64> {
        self.flush().await?;
        self.file.progress.send_modify(|progress| progress.phase = Phase::Complete);
        Ok(self.file.len())
    }

    async fn on_disk<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        if self.broken {
            return Err(io::Error::other("an earlier write to the spool file failed"));
        }
        self.broken = true;
        let file = Arc::clone(&self.file);
        let done = blocking(move || work(&file.file)).await?;
        self.broken = false;
        Ok(done)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.file.progress.send_if_modified(|progress| {
            let unfinished = progress.phase == Phase::Growing;
            if unfinished {
                progress.phase = Phase::Aborted;
            }
            unfinished
        });
    }
}

/// Reads one generation of the bytes.
pub struct Reader {
    file: Arc<GrowingFile>,
    generation: u64,
    progress: watch::Receiver<Progress>,
}

impl Reader {
    /// Waits until at least `len` bytes are there, or the file is complete, and
    /// answers how many are there. Fewer than `len` means: complete, and that
    /// is all. Dropping the future is safe.
    pub async fn wait_for(&mut self, len: u64) -> Result<u64, Ended> {
        let generation = self.generation;
        let ready = |p: &Progress| p.generation != generation || p.len >= len || p.phase != Phase::Growing;
        let progress = *self.progress.wait_for(ready).await.map_err(|_| Ended::Aborted)?;
        if progress.generation != generation {
            return Err(Ended::Restarted);
        }
        if progress.phase == Phase::Aborted {
            return Err(Ended::Aborted);
        }
        Ok(progress.len)
    }

    /// The bytes of `range`, all of which must be there already.
    pub async fn read_at(&self, range: Range<u64>) -> Result<Bytes, Ended> {
        let file = Arc::clone(&self.file);
        let read = blocking(move || {
            let len = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
            let mut bytes = vec![0; len];
            file.file.read_exact_at(&mut bytes, range.start)?;
            Ok(Bytes::from(bytes))
        })
        .await;
        if self.progress.borrow().generation != self.generation {
            return Err(Ended::Restarted);
        }
        Ok(read?)
    }
}

/// Removes what a killed process left in its spool folder, and makes the folder
/// if it is not there. Answers how many files went. For the one process that
/// owns the folder, before it spools anything.
pub async fn sweep_spool(dir: PathBuf) -> io::Result<usize> {
    blocking(move || {
        std::fs::create_dir_all(&dir)?;
        let mut removed = 0;
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
