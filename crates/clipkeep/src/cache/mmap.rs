//! Whole files as shared bytes: the only unsafe code but for two system calls
//! without a safe face (`main.rs`, `web/wire.rs`).
//!
//! The bytes can be sliced and handed to the HTTP server like any others. On
//! their way out the connection asks [`file_behind`] whether a slice is a piece
//! of a mapped file, and if so lets the kernel send it straight from the page
//! cache: no page is then ever mapped in, so a large clip does not weigh on the
//! process's memory.

use std::{collections::BTreeMap, fs::File, io, path::Path, sync::Arc};

use bytes::Bytes;
use memmap2::Mmap;
use parking_lot::RwLock;

/// The mappings that are alive, by address.
static REGIONS: RwLock<BTreeMap<usize, Region>> = RwLock::new(BTreeMap::new());

struct Region {
    len: usize,
    file: Arc<File>,
}

/// Keeps a mapping and its entry in [`REGIONS`] alive as long as its bytes.
struct Mapped(Mmap);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Mapped {
    // The fields go after this: nobody can get the same address before the
    // entry is out.
    fn drop(&mut self) {
        REGIONS.write().remove(&self.0.as_ptr().addr());
    }
}

/// Maps the file at `path` and gives it as shared bytes; a slice of them costs
/// nothing. Blocks: call it off the async threads.
///
/// No code of ours reads the clips in it; the kernel does, in `sendfile` or
/// `writev`. So should someone cut the file short meanwhile, that call fails or ends early
/// and the connection breaks off, but the process goes on.
///
/// # Errors
/// If the file cannot be opened, or is not `len` bytes long.
pub fn map(path: &Path, len: u64) -> io::Result<Bytes> {
    map_file(File::open(path)?, len)
}

/// The same of a file that is open, and may have no name.
///
/// # Errors
/// If it is not `len` bytes long.
pub fn map_file(file: File, len: u64) -> io::Result<Bytes> {
    let found = file.metadata()?.len();
    if found != len {
        let text = format!("the object is {found} bytes long, its row says {len}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    if len == 0 {
        return Ok(Bytes::new());
    }
    #[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
    // SAFETY: the mapping is read-only. Objects are never written in place: they
    // appear by link when complete, and vanish by unlink, which leaves mapped
    // pages alive. A local copy is written while it is mapped, but a slice of it
    // is handed out only of bytes that are there, which never change again: a
    // new version gets a new file, and no copy is ever cut short. A body that was
    // put aside has no name by which anybody could, and is written no more.
    let map = unsafe { Mmap::map(&file)? };
    let region = Region { len: map.len(), file: Arc::new(file) };
    REGIONS.write().insert(map.as_ptr().addr(), region);
    Ok(Bytes::from_owner(Mapped(map)))
}

/// The file that `bytes` is a mapped piece of, and where in it the piece starts.
pub fn file_behind(bytes: &[u8]) -> Option<(Arc<File>, u64)> {
    let start = bytes.as_ptr().addr();
    let regions = REGIONS.read();
    let (base, region) = regions.range(..=start).next_back()?;
    let offset = start - base;
    (offset + bytes.len() <= region.len).then(|| (Arc::clone(&region.file), offset as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(content: &[u8]) -> (tempfile::TempDir, Bytes) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, content).unwrap();
        let bytes = map(&path, content.len() as u64).unwrap();
        (dir, bytes)
    }

    #[test]
    fn a_mapped_file_is_its_bytes_even_after_it_is_unlinked() {
        let (dir, bytes) = mapped(b"0123456789");
        drop(dir);
        assert_eq!(&bytes.slice(2..5)[..], b"234");
    }

    #[test]
    fn a_slice_knows_its_file_and_a_stranger_has_none() {
        let (_dir, bytes) = mapped(b"0123456789");
        let (_, offset) = file_behind(&bytes.slice(3..)).unwrap();
        assert_eq!(offset, 3);
        assert!(file_behind(b"0123456789").is_none());
        let address = bytes.as_ptr().addr();
        drop(bytes);
        assert!(!REGIONS.read().contains_key(&address));
    }

    #[test]
    fn a_file_of_another_length_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"0123").unwrap();
        assert_eq!(map(&path, 5).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
