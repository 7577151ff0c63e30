//! One stretch of the download into the local copy.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use parking_lot::MutexGuard;

use super::{
    LocalCopy, State, blocking,
    checksums::{self, Sum},
};

/// How much is collected before it goes to the disk.
pub(super) const BATCH: usize = 256 * 1024;

/// Writes bytes from one place on. What was not flushed is lost with it.
pub struct Writer {
    copy: Arc<LocalCopy>,
    file: Arc<File>,
    generation: u64,
    at: u64,
    /// One buffer for all of the stretch: chunks are copied into it, because
    /// holding on to them would hold the connection's much larger buffers.
    batch: Vec<u8>,
}

impl Writer {
    pub(super) fn new(copy: Arc<LocalCopy>, at: u64) -> Self {
        let (file, generation) = {
            let state = copy.state.lock();
            (Arc::clone(&state.file), state.generation)
        };
        Self { copy, file, generation, at, batch: Vec::new() }
    }

    /// Where the next byte goes.
    pub const fn at(&self) -> u64 {
        self.at + self.batch.len() as u64
    }

    /// Up to where readers have it.
    pub const fn landed(&self) -> u64 {
        self.at
    }

    /// Whether bytes wait that nobody can read yet.
    pub const fn is_behind(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Whether a viewer stands still before the bytes that nobody can read yet.
    pub fn is_waited_for(&self) -> bool {
        let behind = self.at..self.at();
        self.copy.state.lock().wants.values().any(|want| behind.contains(&want.start))
    }

    /// Writes a chunk. It may stay in memory until 256 KiB came together or
    /// [`Writer::flush`] is called.
    pub async fn write(&mut self, mut chunk: Bytes) -> io::Result<()> {
        while !chunk.is_empty() {
            if self.batch.capacity() == 0 {
                self.batch.reserve_exact(BATCH);
            }
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
        drop(self.is_current()?);
        let (mut batch, file, at) = (std::mem::take(&mut self.batch), Arc::clone(&self.file), self.at);
        let end = at + batch.len() as u64;
        let (batch, crc) = blocking(move || {
            let crc = checksums::crc(&batch);
            file.write_all_at(&batch, at)?;
            batch.clear();
            Ok((batch, crc))
        })
        .await?;
        (self.batch, self.at) = (batch, end);
        let mut state = self.is_current()?;
        state.have.insert(at..end);
        state.sums.insert(Sum { start: at, end, crc });
        drop(state);
        self.copy.changed.send_replace(());
        Ok(())
    }

    /// The copy's state, if it is still of the version that is written.
    fn is_current(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.copy.state.lock();
        if state.generation == self.generation {
            return Ok(state);
        }
        Err(io::Error::other("the download started over"))
    }
}
