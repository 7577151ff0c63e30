//! Whole files as shared bytes: the only unsafe code.

use std::{fs::File, io, path::Path};

use bytes::Bytes;
use memmap2::Mmap;

/// Maps the file at `path` and gives it as shared bytes; a slice of them costs
/// nothing. Blocks: call it off the async threads.
///
/// The bytes go from the page cache to the socket inside the kernel's write; no
/// code of ours reads them. Should someone cut the file short meanwhile, that
/// write fails with `EFAULT` and the connection breaks off.
///
/// # Errors
/// If the file cannot be opened, or is not `len` bytes long.
pub fn map(path: &Path, len: u64) -> io::Result<Bytes> {
    let file = File::open(path)?;
    let found = file.metadata()?.len();
    if found != len {
        let text = format!("the object is {found} bytes long, its row says {len}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    if len == 0 {
        return Ok(Bytes::new());
    }
    #[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
    // SAFETY: the mapping is read-only, and objects are never written in place:
    // they appear by link or rename when complete, and vanish by unlink, which
    // leaves mapped pages alive.
    let map = unsafe { Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_file_is_its_bytes_even_after_it_is_unlinked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"0123456789").unwrap();
        let bytes = map(&path, 10).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(&bytes.slice(2..5)[..], b"234");
    }

    #[test]
    fn a_file_of_another_length_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"0123").unwrap();
        assert_eq!(map(&path, 5).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
