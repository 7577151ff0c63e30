//! What an earlier run left in a copy: believed once it was read again and is
//! what its checksum says. And the same look, once more, at what is in use.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc};

use super::{
    LocalCopy, blocking,
    checksums::{self, Sum},
    whole::Phase,
};

impl LocalCopy {
    /// Reads what an earlier run left of `range`. What is as it was written is
    /// there from now on; the rest is missing, as if it had never come.
    /// Dropping the future loses at most one stretch.
    pub async fn recall(&self, range: &Range<u64>) {
        let _turn = self.recalling.lock().await;
        loop {
            let (file, generation, sum) = {
                let mut state = self.state.lock();
                let Some(sum) = state.kept.take_at(range) else { return };
                (Arc::clone(&state.file), state.generation, sum)
            };
            let is_right = is_right(file, sum.clone()).await;
            let mut state = self.state.lock();
            if state.generation != generation {
                return;
            }
            if !is_right {
                let (copy, range) = (self.path.display(), sum.range());
                tracing::warn!(%copy, ?range, "the disk did not keep what was written: it is fetched again");
                continue;
            }
            state.have.insert(sum.range());
            state.sums.insert(sum);
            drop(state);
            self.changed.send_replace(());
        }
    }

    /// Whether this disk has all of it, read again or not.
    pub fn is_here(&self) -> bool {
        let state = self.state.lock();
        let total = state.opened.as_ref().and_then(|opened| opened.total);
        state.phase == Phase::Whole || total == Some(state.have.sum() + state.kept.len())
    }

    /// The first bytes of `range` that are missing.
    pub fn gap(&self, range: Range<u64>) -> Option<Range<u64>> {
        self.state.lock().have.gap(range)
    }

    /// Reads the first stretch at or after `at` again, whatever was read of it
    /// before. Answers where it ends; none if there is no more.
    ///
    /// # Errors
    /// With what it is that the disk did not keep.
    pub async fn look_again(&self, at: u64) -> Result<Option<u64>, Range<u64>> {
        let (file, there, kept) = {
            let state = self.state.lock();
            (Arc::clone(&state.file), state.sums.from(at).cloned(), state.kept.from(at).map(Sum::range))
        };
        let sum = match (there, kept) {
            (Some(there), kept) if kept.as_ref().is_none_or(|kept| there.start < kept.start) => there,
            (_, Some(kept)) => {
                self.recall(&kept).await;
                return Ok(Some(kept.end));
            }
            _ => return Ok(None),
        };
        let range = sum.range();
        if is_right(file, sum).await { Ok(Some(range.end)) } else { Err(range) }
    }

    /// The disk damaged it: nobody reads it any more.
    pub fn spoil(&self) {
        self.state.lock().phase = Phase::Aborted;
        self.changed.send_replace(());
    }
}

/// A stretch that cannot be read is none.
async fn is_right(file: Arc<File>, sum: Sum) -> bool {
    /// How much is in memory.
    const READ_BUFFER: usize = 256 * 1024;
    let read = move || {
        let mut buffer = vec![0; READ_BUFFER];
        let (mut at, mut crc) = (sum.start, checksums::Running::new());
        while at < sum.end {
            let len = usize::try_from(sum.end - at).unwrap_or(READ_BUFFER).min(READ_BUFFER);
            file.read_exact_at(&mut buffer[..len], at)?;
            crc.update(&buffer[..len]);
            at += len as u64;
        }
        Ok::<_, io::Error>(crc.finish() == sum.crc)
    };
    blocking(read).await.unwrap_or(false)
}
