//! What was stored on this node just now, for whoever makes something of it. The
//! clip's local copy is held for a few of them, so that nobody reads the store for
//! what was here a moment ago.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use clipkeep_core::id::ClipKey;
use tempfile::TempPath;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::spawn_blocking,
};

/// How many may wait. Of more, nobody hears here: the sweep finds them.
const MAX_PENDING_NOTICES: usize = 4096;
/// How many copies are held: they take disk.
const MAX_HELD_COPIES: usize = 8;

/// A clip that was stored.
#[derive(Debug)]
pub struct StoredNotice {
    pub key: ClipKey,
    /// All of its bytes, if they are still here.
    pub copy: Option<HeldCopy>,
}

/// A clip's copy under another name, for as long as this is held.
#[derive(Debug)]
pub struct HeldCopy {
    path: TempPath,
    _place: OwnedSemaphorePermit,
}

impl HeldCopy {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Tells of clips as they are stored.
#[derive(Clone, Debug)]
pub struct StoredNotices {
    sender: mpsc::Sender<StoredNotice>,
    folder: PathBuf,
    permits: Arc<Semaphore>,
}

impl StoredNotices {
    /// Copies are held in `folder`, which is on the same disk as the spool.
    pub fn new(folder: PathBuf) -> (Self, mpsc::Receiver<StoredNotice>) {
        let (sender, receiver) = mpsc::channel(MAX_PENDING_NOTICES);
        (Self { sender, folder, permits: Arc::new(Semaphore::new(MAX_HELD_COPIES)) }, receiver)
    }

    /// Holds on to a complete copy, if there is a place for one more.
    pub(super) async fn hold(&self, key: &ClipKey, copy: &Path) -> Option<HeldCopy> {
        let place = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        let (copy, path) = (copy.to_owned(), self.folder.join(key.as_str()));
        let linked = spawn_blocking(move || {
            fs::hard_link(copy, &path)?;
            TempPath::try_from_path(path)
        });
        Some(HeldCopy { path: linked.await.ok()?.ok()?, _place: place })
    }

    /// Tells of a clip. Never waits.
    pub(super) fn send(&self, key: &ClipKey, copy: Option<HeldCopy>) {
        let _ = self.sender.try_send(StoredNotice { key: key.clone(), copy });
    }
}
