//! What of a local copy outlives the process: the file, and beside it a map of
//! the bytes that are safely in it.
//!
//! The map is written after the bytes it names are on the disk, so it never
//! promises a hole (a power cut loses at most what came since). It says what
//! their checksums are, and its own: disks forget, and people move files.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use clipkeep_core::{id::ClipKey, request_mode::RequestMode, version::SourceVersion};
use serde::{Deserialize, Serialize};

use super::{
    LocalCopy, Opened, blocking,
    checksums::{self, Sum},
};
use crate::cache::mmap;

const MAP: &str = "map";
/// No clip has it.
const NO_EPOCH: i64 = -1;

/// The map, as it is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// The name of the file that it is about.
    of: String,
    /// The content epoch the bytes belong to.
    pub epoch: i64,
    etag: Option<String>,
    last_modified: Option<String>,
    total: u64,
    /// How much the source takes.
    #[serde(default, alias = "rung")]
    pub(super) request_mode: RequestMode,
    /// The bytes that are there.
    pub(super) sums: Vec<Sum>,
}

impl Kept {
    pub(super) fn opened(&self) -> Opened {
        let version =
            SourceVersion { etag: self.etag.clone(), last_modified: self.last_modified.clone(), len: Some(self.total) };
        Opened { epoch: self.epoch, version, total: Some(self.total), ranges: true }
    }
}

impl LocalCopy {
    /// The copy that an earlier attempt left at `path`, if it can be gone on
    /// with: same content epoch, and a file that can hold what its map says.
    /// All of it is read; what the disk did not keep is missing again.
    pub async fn resume(path: PathBuf, epoch: i64) -> Option<Arc<Self>> {
        let copy = Self::left(path, epoch).await?;
        copy.recall(&(0..u64::MAX)).await;
        Some(copy)
    }

    /// The same, but nothing is read yet: it is there once it is recalled.
    pub async fn left(path: PathBuf, epoch: i64) -> Option<Arc<Self>> {
        let found = blocking(move || {
            let kept = read_map(&path)?;
            let file = File::options().read(true).write(true).open(&path)?;
            let sound = kept.epoch == epoch && file.metadata()?.len() == kept.total;
            let within = kept.sums.iter().all(|sum| sum.start < sum.end && sum.end <= kept.total);
            if !sound || !within {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let map = mmap::map(&path, kept.total)?;
            Ok((path, file, kept, map))
        });
        let (path, file, kept, map) = found.await.ok()?;
        Some(Self::new(path, file, Some((kept, Some(map)))))
    }

    /// Makes what is there survive a kill, where that is of use: only pieces of
    /// a version that can be told from others can be gone on with.
    ///
    /// One at a time, and to its end even if nobody waits for it any more: no
    /// map is written over a newer one, or beside a newer file.
    pub async fn persist(self: &Arc<Self>) -> io::Result<()> {
        let turn = Arc::clone(&self.saving).lock_owned().await;
        let copy = Arc::clone(self);
        blocking(move || {
            let saved = copy.save();
            drop(turn);
            saved
        })
        .await
    }

    fn save(&self) -> io::Result<()> {
        let (file, kept) = {
            let state = self.state.lock();
            if state.saved == state.sums.len() + state.kept.len() {
                return Ok(());
            }
            let Some(opened) = state.opened.as_ref().filter(|opened| opened.ranges) else { return Ok(()) };
            let Some(total) = opened.total else { return Ok(()) };
            let kept = Kept {
                of: name(&self.path),
                epoch: opened.epoch,
                etag: opened.version.etag.clone(),
                last_modified: opened.version.last_modified.clone(),
                total,
                request_mode: state.request_mode,
                sums: state.sums.iter().chain(state.kept.iter()).cloned().collect(),
            };
            (Arc::clone(&state.file), kept)
        };
        file.sync_data()?;
        write_map(&self.path, &kept)?;
        self.state.lock().saved = kept.sums.iter().map(|sum| sum.end - sum.start).sum();
        Ok(())
    }
}

fn map_path(path: &Path) -> PathBuf {
    // Keys have an ending of their own, which stays.
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(MAP);
    name.into()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The map of the copy at `path`, if it is whole and of this very copy. Its last
/// line is the checksum of what comes before.
fn read_map(path: &Path) -> io::Result<Kept> {
    let text = fs::read_to_string(map_path(path))?;
    let (json, crc) = text.trim_end().rsplit_once('\n').ok_or(io::ErrorKind::InvalidData)?;
    if crc != checksum(json) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let kept: Kept = serde_json::from_str(json).map_err(io::Error::other)?;
    if kept.of == name(path) { Ok(kept) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn checksum(json: &str) -> String {
    format!("{:08x}", checksums::crc(json.as_bytes()))
}

fn write_map(path: &Path, kept: &Kept) -> io::Result<()> {
    // Two may write at once (one that was given up, and its successor); each
    // has a file of its own, and either map is true.
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let (map, new) = (map_path(path), map_path(path).with_extension(format!("{number}.new")));
    let mut file = File::create(&new)?;
    let json = serde_json::to_string(kept)?;
    file.write_all(format!("{json}\n{}\n", checksum(&json)).as_bytes())?;
    file.sync_data()?;
    fs::rename(new, map)
}

/// Removes a copy and its map from the disk.
pub fn remove(path: &Path) -> io::Result<()> {
    remove_map(path)?;
    remove_file(path)
}

/// Removes a copy's map: what is in the file is of no use any more.
pub(super) fn remove_map(path: &Path) -> io::Result<()> {
    remove_file(&map_path(path))
}

/// A folder is none of ours and stays: `lost+found` is in each that is a disk of
/// its own.
fn remove_file(path: &Path) -> io::Result<()> {
    use io::ErrorKind::{IsADirectory, NotFound};
    match fs::remove_file(path) {
        Err(error) if !matches!(error.kind(), NotFound | IsADirectory) => Err(at(path, &error)),
        _ => Ok(()),
    }
}

/// The error, with the path that it is about.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// What a killed process left in its partials folder, which is made if it is not
/// there: the clips whose copies may be gone on with, and their epochs. All
/// else is removed. For the one process that owns the folder, before it fills.
pub async fn kept_clips(dir: PathBuf) -> io::Result<Vec<(ClipKey, PathBuf, i64)>> {
    blocking(move || {
        fs::create_dir_all(&dir).map_err(|error| at(&dir, &error))?;
        let mut kept = Vec::new();
        for entry in fs::read_dir(&dir).map_err(|error| at(&dir, &error))? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let copy = name.strip_suffix(".map").map(|name| dir.join(name));
            if copy.is_some_and(|copy| copy.exists()) {
                continue;
            }
            match (read_map(&path), name.parse()) {
                (Ok(map), Ok(key)) => kept.push((key, path, map.epoch)),
                _ => remove(&path)?,
            }
        }
        Ok(kept)
    })
    .await
}

/// The clips whose copies wait in a partials folder to be gone on with, and their
/// epochs. Nothing is removed: fills may run meanwhile.
pub async fn left_clips(dir: PathBuf) -> io::Result<Vec<(ClipKey, PathBuf, i64)>> {
    blocking(move || {
        let mut left = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".map")) else { continue };
            let path = dir.join(name);
            if let Ok(key) = name.parse() {
                // One that cannot be read is of no version.
                let epoch = read_map(&path).map_or(NO_EPOCH, |map| map.epoch);
                left.push((key, path, epoch));
            }
        }
        Ok(left)
    })
    .await
}
