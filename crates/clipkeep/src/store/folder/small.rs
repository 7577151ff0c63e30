//! Small objects, whose bytes are in memory.

use std::{
    fs::{self, File},
    io::{self, Write as _},
};

use bytes::Bytes;

use super::{Folder, blocking};
use crate::store::{ObjectKey, Result, error::from_disk};

impl Folder {
    /// Makes a small object of bytes that are in memory.
    pub(in crate::store) async fn write_small(&self, key: &ObjectKey, bytes: Bytes) -> Result<()> {
        let staged = self.staged(key);
        let (path, size) = (staged.0.clone(), bytes.len() as u64);
        let written = blocking(move || {
            let mut file = File::create_new(path)?;
            file.write_all(&bytes)?;
            file.sync_all()
        });
        written.await.map_err(|e| from_disk("writing", key, &e))?;
        self.publish(key, staged, size).await
    }

    /// The same, in place of what may be there.
    pub(in crate::store) async fn write_over(&self, key: &ObjectKey, bytes: Bytes) -> Result<()> {
        let (staged, object) = (self.staged(key).0, self.path(key));
        let written = blocking(move || {
            let mut file = File::create_new(&staged)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(staged, &object)?;
            object.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        });
        written.await.map_err(|e| from_disk("writing", key, &e))
    }

    /// All of an object, unless it is larger than `most`, or not there.
    pub(in crate::store) async fn small(&self, key: &ObjectKey, most: u64) -> Result<Option<Bytes>> {
        let path = self.path(key);
        let read = blocking(move || {
            let is_small = fs::metadata(&path)?.len() <= most;
            if is_small { fs::read(path).map(|bytes| Some(bytes.into())) } else { Ok(None) }
        });
        match read.await {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map_err(|e| from_disk("reading", key, &e)),
        }
    }
}
