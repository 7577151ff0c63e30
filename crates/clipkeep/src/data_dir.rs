//! Where this process keeps clips while they are on their way.
//!
//! A node owns its data folder: what it left there it goes on with after a
//! restart. A command that fills beside a running node has a folder of its own,
//! which goes with it.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

/// How long a node that is being replaced may take to let go.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const LOCK: &str = "lock";
const COMMANDS: &str = "commands";

/// What the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It serves: the one node of its data folder.
    Node,
    /// It does one thing, perhaps beside a node.
    Command,
}

/// Another node has the data folder.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It serves from there now.
    #[error("another clipkeep serves from {}: stop it first, or give this one a `data` folder of its own", data.display())]
    Taken { data: PathBuf },
    /// A file or folder would not do.
    #[error("making {} usable", path.display())]
    Io {
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The folder, for as long as this is held.
#[derive(Debug)]
pub struct DataDir {
    folder: PathBuf,
    role: Role,
    /// Locked; the system lets go of it however the process ends.
    _lock: File,
}

impl DataDir {
    /// Takes the node's own folder, or makes one for a command. Waits a few
    /// seconds for a node that is about to end. Dropping the future takes
    /// nothing.
    ///
    /// # Errors
    /// If another node has it, or the disk does not do it.
    pub async fn take(data: &Path, role: Role) -> Result<Self, DataDirError> {
        let began = Instant::now();
        loop {
            let of = data.to_owned();
            let taken = spawn_blocking(move || Self::try_take(&of, role)).await;
            let failed = |source| DataDirError::Io { path: data.to_owned(), source };
            match taken.map_err(|panicked| failed(io::Error::other(panicked)))? {
                Err(DataDirError::Taken { .. }) if began.elapsed() < LOCK_TIMEOUT => sleep(POLL_INTERVAL).await,
                taken => return taken,
            }
        }
    }

    fn try_take(data: &Path, role: Role) -> Result<Self, DataDirError> {
        remove_abandoned(data);
        match role {
            Role::Node => Self::lock(data, data.to_owned(), data.join(LOCK), role),
            Role::Command => {
                let folder = data.join(COMMANDS).join(nonce());
                Self::lock(data, folder.clone(), folder.with_extension(LOCK), role)
            }
        }
    }

    /// The lock comes first and goes last: a folder whose lock nobody holds is
    /// nobody's.
    fn lock(data: &Path, folder: PathBuf, path: PathBuf, role: Role) -> Result<Self, DataDirError> {
        let io = |source| DataDirError::Io { path: path.clone(), source };
        let beside = path.parent().unwrap_or(data);
        fs::create_dir_all(beside).map_err(io)?;
        let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataDirError::Taken { data: data.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        // Who looks for abandoned ones may have had it for a moment, and removed it.
        if fs::metadata(&path).ok().map(|meta| meta.ino()) != Some(lock.metadata().map_err(io)?.ino()) {
            return Err(DataDirError::Taken { data: data.to_owned() });
        }
        fs::create_dir_all(&folder).map_err(io)?;
        Ok(Self { folder, role, _lock: lock })
    }

    /// What this process is.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Where a command keeps what it needs for itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where fills keep their copies.
    pub fn partials(&self) -> PathBuf {
        self.folder.join("partials")
    }

    /// Where clips are for a moment whose posters are being made.
    pub fn stills(&self) -> PathBuf {
        self.folder.join("stills")
    }

    /// Where copies of the bucket's objects are.
    pub fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if self.role == Role::Command {
            // What cannot be removed now, the next process removes.
            let _ = fs::remove_dir_all(&self.folder);
            let _ = fs::remove_file(self.folder.with_extension(LOCK));
        }
    }
}

/// What commands left that were killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abandoned {
    pub folders: u64,
    /// How many bytes were in them.
    pub bytes: u64,
}

/// Removes the folders of commands that were killed; those that run hold their
/// locks. What cannot be removed is in nobody's way.
pub fn remove_abandoned(data: &Path) -> Abandoned {
    let mut removed = Abandoned::default();
    let Ok(entries) = fs::read_dir(data.join(COMMANDS)) else { return removed };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let is_lock = path.extension().is_some_and(|ending| ending == LOCK);
        let (folder, lock) = (path.with_extension(""), path.with_extension(LOCK));
        let held = File::options().create(true).truncate(false).write(true).open(&lock);
        if !held.is_ok_and(|held| held.try_lock().is_ok()) {
            continue;
        }
        let bytes = size(&folder);
        if fs::remove_dir_all(&folder).is_ok() {
            removed.folders += 1;
            removed.bytes += bytes;
        }
        if is_lock || !folder.exists() {
            let _ = fs::remove_file(lock);
        }
    }
    removed
}

/// What the files of a folder take. As deep as ours are.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(of).sum()
}

/// A name that no other command has.
fn nonce() -> String {
    let mut bytes = [0; 8];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .expect("the system's randomness does not fail");
    data_encoding::HEXLOWER.encode(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_node_owns_a_data_folder_and_commands_have_their_own() {
        let data = tempfile::tempdir().unwrap();
        let take = async |role| DataDir::take(data.path(), role).await;
        let node = take(Role::Node).await.unwrap();
        assert!(matches!(DataDir::try_take(data.path(), Role::Node), Err(DataDirError::Taken { .. })));
        let command = take(Role::Command).await.unwrap();
        assert_ne!(node.partials(), command.partials());
        let folder = command.folder.clone();
        drop(command);
        assert!(!folder.exists());
        let (next, ()) = tokio::join!(take(Role::Node), async { drop(node) });
        next.unwrap();
    }

    #[tokio::test]
    async fn h25_what_killed_commands_left_is_removed_and_a_running_ones_is_not() {
        let data = tempfile::tempdir().unwrap();
        let commands = data.path().join(COMMANDS);
        // Killed while it filled; before it had a lock, as older ones were made;
        // while its folder was being removed; before it had a folder.
        for killed in ["a/partials", "b/partials", "c"] {
            fs::create_dir_all(commands.join(killed)).unwrap();
        }
        fs::write(commands.join("b/partials/x.mp4"), vec![1; 8192]).unwrap();
        for lock in ["a.lock", "d.lock", "b/lock"] {
            File::create(commands.join(lock)).unwrap();
        }
        let running = DataDir::take(data.path(), Role::Command).await.unwrap();
        let _node = DataDir::take(data.path(), Role::Node).await.unwrap();
        let left: Vec<_> = commands.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(left.contains(&running.folder) && running.folder.is_dir());
        assert_eq!(remove_abandoned(data.path()), Abandoned::default());
        fs::create_dir_all(commands.join("e")).unwrap();
        fs::write(commands.join("e/x.mp4"), vec![1; 8192]).unwrap();
        assert_eq!(remove_abandoned(data.path()), Abandoned { folders: 1, bytes: 8192 });
        drop(running);
        assert_eq!(commands.read_dir().unwrap().count(), 0);
    }
}
