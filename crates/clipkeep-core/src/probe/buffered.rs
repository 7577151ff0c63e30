//! A reader that keeps what it has read when it seeks, as walks of boxes and
//! elements need: their steps are short, and go back now and then.

use std::io::{Read, Result, Seek, SeekFrom};

/// As much as a disk or a cache gives at once without a longer wait.
const BLOCK: usize = 16 * 1024;

/// Reads block by block. It seeks in the file only for bytes that are not in
/// the block at hand, so a walk over millions of tiny boxes takes few calls.
pub(super) struct Buffered<'r, R> {
    file: &'r mut R,
    len: u64,
    /// The next byte to be read.
    at: u64,
    block: Vec<u8>,
    block_at: u64,
    block_len: usize,
}

impl<'r, R: Read + Seek> Buffered<'r, R> {
    /// For a file of `len` bytes.
    pub(super) fn new(file: &'r mut R, len: u64) -> Self {
        Self::of_blocks(file, len, BLOCK)
    }

    /// The same in blocks of this many bytes.
    pub(super) fn of_blocks(file: &'r mut R, len: u64, block_len: usize) -> Self {
        Self { file, len, at: 0, block: Vec::new(), block_at: 0, block_len }
    }

    /// What the block has of the bytes from here on.
    fn at_hand(&self) -> &[u8] {
        let skipped = self.at.checked_sub(self.block_at).and_then(|skipped| usize::try_from(skipped).ok());
        skipped.and_then(|skipped| self.block.get(skipped..)).unwrap_or_default()
    }

    fn load(&mut self) -> Result<()> {
        self.block.resize(self.block_len, 0);
        self.block_at = self.at;
        self.file.seek(SeekFrom::Start(self.at))?;
        let read = self.file.read(&mut self.block);
        self.block.truncate(*read.as_ref().unwrap_or(&0));
        read.map(|_| ())
    }
}

impl<R: Read + Seek> Read for Buffered<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        if self.at_hand().is_empty() {
            if out.len() >= self.block_len {
                self.file.seek(SeekFrom::Start(self.at))?;
                let read = self.file.read(out)?;
                self.at += read as u64;
                return Ok(read);
            }
            self.load()?;
        }
        let there = self.at_hand();
        let len = there.len().min(out.len());
        out[..len].copy_from_slice(&there[..len]);
        self.at += len as u64;
        Ok(len)
    }
}

impl<R: Read + Seek> Seek for Buffered<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
        };
        self.at = at.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn steps_to_and_fro_read_what_is_there() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        let mut cursor = Cursor::new(&bytes);
        let mut reader = Buffered::new(&mut cursor, bytes.len() as u64);
        for (at, len) in [(0, 8), (16_380, 16), (3, 5), (99_990, 10), (50_000, 40_000), (50_007, 1), (99_999, 0)] {
            let mut out = vec![0; len];
            reader.seek(SeekFrom::Start(at as u64)).unwrap();
            reader.read_exact(&mut out).unwrap();
            assert_eq!(out, bytes[at..at + len]);
        }
        assert_eq!(reader.seek(SeekFrom::End(0)).unwrap(), 100_000);
        assert_eq!(reader.read(&mut [0; 4]).unwrap(), 0);
        assert!(reader.seek(SeekFrom::End(-200_000)).is_err());
    }
}
