//! A file that appears whole, or not at all.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::umask;

/// A file that gets its name when it is complete. Dropped before, it is gone;
/// what a kill leaves, the next run writes over.
pub struct AtomicFile {
    pub path: PathBuf,
    part: PathBuf,
    file: Option<BufWriter<File>>,
}

impl AtomicFile {
    /// Begins the file.
    ///
    /// # Errors
    /// If its folder does not take it.
    pub fn create(path: &Path) -> io::Result<Self> {
        let part = part(path);
        // Not written into, whatever it is: only its name is taken.
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = File::create_new(&part)?;
        file.set_permissions(umask::of_users_files())?;
        let file = BufWriter::new(file);
        Ok(Self { path: path.to_owned(), part, file: Some(file) })
    }

    /// Adds to it.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes))
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn finish(mut self) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        }
        fs::rename(&self.part, &self.path)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// What a file is called until it is complete.
pub(crate) fn part(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".part");
    name.into()
}
