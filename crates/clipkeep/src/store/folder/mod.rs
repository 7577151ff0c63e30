//! The store as a folder on this machine: `{root}/{key}`.
//!
//! Bytes are staged in `{root}/.staging` and become visible by a hard link,
//! which fails where the name is taken. The spool file itself is linked into
//! the staging folder where one filesystem holds both, so nothing is copied.

mod small;

use std::{
    fs::{self, File},
    io::{self, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use clipkeep_core::time::Timestamp;
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::task::spawn_blocking;

use super::{
    ByteStream, Digest, Listed, ObjectKey, ObjectMeta, Result, StaleUpload, StoreError,
    error::from_disk,
    hash::Hasher,
    key::{INLINE, POSTERS},
    probe::nonce,
};
use crate::fill::local::{LocalCopy, Reader};

/// How much is read at a time.
const READ_BUFFER: u64 = 1024 * 1024;
/// How many files are listed at a time.
const BATCH: usize = 1000;
/// Between the key and the nonce of a staged file's name. No clip key holds it.
const MARK: char = ',';

/// A folder.
pub(super) struct Folder {
    root: PathBuf,
    staging: PathBuf,
}

/// A staged file's path.
pub(super) struct StagedFile(PathBuf);

impl Folder {
    pub(super) fn at(root: PathBuf) -> Self {
        let staging = root.join(".staging");
        Self { root, staging }
    }

    /// Makes what is not there of it.
    pub(super) async fn make(&self) -> Result<()> {
        let (staging, own) = (self.staging.clone(), self.root.join(POSTERS));
        let made = blocking(move || fs::create_dir_all(staging).and_then(|()| fs::create_dir_all(own)));
        made.await.map_err(|e| StoreError::Setup { why: format!("making its folder: {e}") })
    }

    pub(super) fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn staged(&self, key: &ObjectKey) -> StagedFile {
        // The folder has no folders in it.
        let name = key.as_str().replace('/', "~");
        StagedFile(self.staging.join(format!("{name}{MARK}{}", nonce())))
    }

    pub(super) async fn stage(&self, key: &ObjectKey, file: &Arc<LocalCopy>) -> Result<(Digest, StagedFile)> {
        let staged = self.staged(key);
        let result = self.stage_as(key, file, &staged).await;
        match result {
            Ok(digest) => Ok((digest, staged)),
            Err(e) => {
                self.abort(staged).await;
                Err(e)
            }
        }
    }

    async fn stage_as(&self, key: &ObjectKey, file: &Arc<LocalCopy>, staged: &StagedFile) -> Result<Digest> {
        let disk = |e: io::Error| from_disk("staging", key, &e);
        let reader = file.reader();
        let (from, to) = (file.path().to_owned(), staged.0.clone());
        let target = blocking(move || Target::open(&from, &to)).await.map_err(disk)?;
        let (target, digest) = follow(reader, target, disk).await?;
        blocking(move || target.sync()).await.map_err(disk)?;
        Ok(digest)
    }

    pub(super) async fn publish(&self, key: &ObjectKey, staged: StagedFile, size: u64) -> Result<()> {
        let (root, object, path) = (self.root.clone(), self.path(key), staged.0.clone());
        let published = blocking(move || {
            fs::hard_link(path, &object)?;
            File::open(root)?.sync_all()?;
            Ok(fs::metadata(object)?.len())
        })
        .await;
        self.abort(staged).await;
        let found = published.map_err(|e| from_disk("publishing", key, &e))?;
        if found == size {
            return Ok(());
        }
        Err(StoreError::Damaged { key: key.clone(), expected: size, found })
    }

    pub(super) async fn abort(&self, staged: StagedFile) {
        // What stays, `abort_stale` and the next start remove.
        let _ = blocking(move || fs::remove_file(staged.0)).await;
    }

    pub(super) async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>> {
        let path = self.path(key);
        match blocking(move || fs::metadata(path)).await {
            Ok(meta) => Ok(Some(ObjectMeta { size: meta.len() })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(from_disk("looking up", key, &e)),
        }
    }

    pub(super) async fn delete(&self, key: &ObjectKey) -> Result<()> {
        let (root, path) = (self.root.clone(), self.path(key));
        let removed = blocking(move || {
            fs::remove_file(path)?;
            File::open(root)?.sync_all()
        });
        match removed.await {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(from_disk("deleting", key, &e)),
            _ => Ok(()),
        }
    }

    pub(super) async fn copy(&self, from: &ObjectKey, to: &ObjectKey) -> Result<()> {
        let (root, staged) = (self.root.clone(), self.staged(to).0);
        let (object, copy) = (self.path(from), self.path(to));
        let copied = blocking(move || {
            fs::hard_link(object, &staged)?;
            fs::rename(&staged, copy)?;
            // Two names of one file already: then nothing was moved.
            match fs::remove_file(staged) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            File::open(root)?.sync_all()
        });
        copied.await.map_err(|e| from_disk("copying", from, &e))
    }

    pub(super) async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<ByteStream> {
        let path = self.path(key);
        let opened = blocking(move || {
            let file = File::open(path)?;
            let len = file.metadata()?.len();
            Ok((Arc::new(file), len))
        });
        let (file, len) = opened.await.map_err(|e| from_disk("reading", key, &e))?;
        if range.end > len {
            return Err(StoreError::Damaged { key: key.clone(), expected: range.end, found: len });
        }
        let key = key.clone();
        let chunks = stream::try_unfold(range, move |rest| {
            let (file, key) = (Arc::clone(&file), key.clone());
            async move {
                if rest.is_empty() {
                    return Ok(None);
                }
                let end = rest.end.min(rest.start + READ_BUFFER);
                let chunk = blocking(move || read_exact(&file, rest.start..end)).await;
                chunk.map(|chunk| Some((chunk, end..rest.end))).map_err(|e| from_disk("reading", &key, &e))
            }
        });
        Ok(chunks.boxed())
    }

    pub(super) async fn abort_stale(&self, key: &ObjectKey) -> Result<usize> {
        let (staging, start) = (self.staging.clone(), format!("{key}{MARK}"));
        let removed = blocking(move || remove_where(&staging, |name| name.starts_with(&start))).await;
        removed.map_err(|e| from_disk("ending the uploads of", key, &e))
    }

    pub(super) async fn abort_one(&self, key: &ObjectKey, name: &str) -> Result<()> {
        let path = self.staging.join(name);
        match blocking(move || fs::remove_file(path)).await {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(from_disk("ending an upload of", key, &e)),
            _ => Ok(()),
        }
    }

    /// What is in one of its folders, or in itself, batch by batch.
    pub(super) fn list_in(&self, folder: &str) -> BoxStream<'static, Result<Vec<Listed>>> {
        let folder = self.root.join(folder);
        let next = move |entries: Option<fs::ReadDir>| {
            let folder = folder.clone();
            async move {
                let read = blocking(move || {
                    let mut entries = entries.map_or_else(|| fs::read_dir(folder), Ok)?;
                    Ok((batch(&mut entries)?, entries))
                });
                let (listed, entries) =
                    read.await.map_err(|e| StoreError::Setup { why: format!("listing its folder: {e}") })?;
                Ok((!listed.is_empty()).then_some((listed, Some(entries))))
            }
        };
        stream::try_unfold(None, next).boxed()
    }

    /// Outputs that came as data.
    pub(super) async fn list_inlines(&self) -> Result<Vec<Listed>> {
        let root = self.root.clone();
        let listed = blocking(move || {
            let named = |entry: io::Result<fs::DirEntry>| {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                match entry.metadata() {
                    Ok(meta) if name.starts_with(INLINE) => {
                        Ok(Some(Listed { name, size: meta.len(), modified: since_epoch(meta.modified()?) }))
                    }
                    Ok(_) => Ok(None),
                    // Gone meanwhile.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(e) => Err(e),
                }
            };
            fs::read_dir(root)?.filter_map(|entry| named(entry).transpose()).collect()
        });
        listed.await.map_err(|e| StoreError::Setup { why: format!("listing its folder: {e}") })
    }

    pub(super) async fn clear_staging(&self) -> Result<()> {
        let staging = self.staging.clone();
        let cleared = blocking(move || remove_where(&staging, |_| true)).await;
        cleared.map(drop).map_err(|e| StoreError::Setup { why: format!("clearing its staging folder: {e}") })
    }

    pub(super) async fn list_stale(&self) -> Result<Vec<StaleUpload>> {
        let staging = self.staging.clone();
        let listed =
            blocking(move || fs::read_dir(staging)?.filter_map(|entry| stale(&entry.ok()?).transpose()).collect());
        listed.await.map_err(|e| StoreError::Setup { why: format!("listing its staging folder: {e}") })
    }
}

/// Where staged bytes go: nowhere, if the spool file itself is linked to.
enum Target {
    Linked(File),
    Copied(File),
}

impl Target {
    fn open(from: &Path, to: &Path) -> io::Result<Self> {
        match fs::hard_link(from, to) {
            Ok(()) => File::open(to).map(Self::Linked),
            Err(_) => File::create_new(to).map(Self::Copied),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Linked(_) => Ok(()),
            Self::Copied(file) => file.write_all(bytes),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let (Self::Linked(file) | Self::Copied(file)) = self;
        file.sync_all()
    }
}

async fn follow(
    mut reader: Reader,
    mut target: Target,
    disk: impl Fn(io::Error) -> StoreError,
) -> Result<(Target, Digest)> {
    let mut hasher = Hasher::new();
    let mut offset = 0;
    loop {
        let available = reader.wait_for(offset + 1).await?;
        if available == offset {
            return Ok((target, hasher.finish()));
        }
        let bytes = reader.read_at(offset..available.min(offset + READ_BUFFER)).await?;
        offset += bytes.len() as u64;
        (target, hasher) = blocking(move || {
            target.take(&bytes)?;
            hasher.update(&bytes);
            Ok((target, hasher))
        })
        .await
        .map_err(&disk)?;
    }
}

/// The next files of a folder that are no hidden ones; none at its end.
fn batch(entries: &mut fs::ReadDir) -> io::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        match entry.metadata() {
            // What a link leads to is no object of ours, wherever it lies.
            Ok(meta) if !meta.is_file() => {}
            Ok(meta) => listed.push(Listed { name, size: meta.len(), modified: since_epoch(meta.modified()?) }),
            // Gone meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        if listed.len() == BATCH {
            break;
        }
    }
    Ok(listed)
}

fn since_epoch(time: std::time::SystemTime) -> Timestamp {
    Timestamp::from_millis(0).plus(time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default())
}

/// What is staged there; none if its upload ended meanwhile.
fn stale(entry: &fs::DirEntry) -> io::Result<Option<StaleUpload>> {
    let upload_id = entry.file_name().to_string_lossy().into_owned();
    let key = upload_id.split(MARK).next().unwrap_or_default().to_owned();
    match entry.metadata() {
        Ok(meta) if meta.is_dir() => Ok(None),
        Ok(meta) => Ok(Some(StaleUpload { key, upload_id, initiated: since_epoch(meta.modified()?) })),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn remove_where(staging: &Path, goes: impl Fn(&str) -> bool) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(staging)? {
        let entry = entry?;
        if !goes(&entry.file_name().to_string_lossy()) {
            continue;
        }
        match fs::remove_file(entry.path()) {
            Ok(()) => removed += 1,
            // Gone meanwhile; or a folder, which is none of ours.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(removed)
}

fn read_exact(file: &File, range: Range<u64>) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(Bytes::from(bytes))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn h43_what_a_link_leads_to_is_no_object() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("secret.mp4"), "theirs").unwrap();
        fs::write(folder.path().join("a.mp4"), "ours").unwrap();
        symlink(outside.path().join("secret.mp4"), folder.path().join("b.mp4")).unwrap();
        symlink(outside.path(), folder.path().join("c.mp4")).unwrap();
        symlink("/nowhere", folder.path().join("d.mp4")).unwrap();
        fs::create_dir(folder.path().join("e.mp4")).unwrap();
        let names: Vec<_> =
            batch(&mut fs::read_dir(&folder).unwrap()).unwrap().into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["a.mp4"]);
    }
}
