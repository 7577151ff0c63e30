//! Where this process keeps clips while they are on their way.
//!
//! A node owns its data folder: what it left there it goes on with after a
//! restart. A command that fills beside a running node has a folder of its own,
//! which goes with it.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

/// How long a node that is being replaced may take to let go.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LOCK: &str = "lock";

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
pub enum ScratchError {
    /// It serves from there now.
    #[error("another clipkeep serves from {}: stop it first, or give this one a `data` folder of its own", data.display())]
    Taken {
        /// Which folder.
        data: PathBuf,
    },
    /// A file or folder would not do.
    #[error("making {} usable", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The folder, for as long as this is held.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    role: Role,
    /// Locked; the system lets go of it however the process ends.
    _lock: File,
}

impl Scratch {
    /// Takes the node's own folder, or makes one for a command. Waits a few
    /// seconds for a node that is about to end. Dropping the future takes
    /// nothing.
    ///
    /// # Errors
    /// If another node has it, or the disk does not do it.
    pub async fn take(data: &Path, role: Role) -> Result<Self, ScratchError> {
        let began = Instant::now();
        loop {
            let of = data.to_owned();
            let taken = spawn_blocking(move || Self::try_take(&of, role)).await;
            let failed = |source| ScratchError::Io { path: data.to_owned(), source };
            match taken.map_err(|panicked| failed(io::Error::other(panicked)))? {
                Err(ScratchError::Taken { .. }) if began.elapsed() < PATIENCE => sleep(LOOK_AGAIN).await,
                taken => return taken,
            }
        }
    }

    fn try_take(data: &Path, role: Role) -> Result<Self, ScratchError> {
        let commands = data.join("commands");
        remove_abandoned(&commands);
        let folder = match role {
            Role::Node => data.to_owned(),
            Role::Command => commands.join(own_name()),
        };
        let path = folder.join(LOCK);
        let io = |source| ScratchError::Io { path: path.clone(), source };
        fs::create_dir_all(&folder).map_err(io)?;
        let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder, role, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(ScratchError::Taken { data: data.to_owned() }),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
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
    pub fn spool(&self) -> PathBuf {
        self.folder.join("spool")
    }

    /// Where copies of the bucket's objects are.
    pub fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.role == Role::Command {
            // What cannot be removed now, the next process removes.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn own_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Removes the folders of commands that were killed. What cannot be removed is
/// in nobody's way.
fn remove_abandoned(commands: &Path) {
    let Ok(folders) = fs::read_dir(commands) else { return };
    for folder in folders.filter_map(Result::ok) {
        let lock = File::options().write(true).open(folder.path().join(LOCK));
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(folder.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_node_owns_a_data_folder_and_commands_have_their_own() {
        let data = tempfile::tempdir().unwrap();
        let take = async |role| Scratch::take(data.path(), role).await;
        let node = take(Role::Node).await.unwrap();
        assert!(matches!(Scratch::try_take(data.path(), Role::Node), Err(ScratchError::Taken { .. })));
        let command = take(Role::Command).await.unwrap();
        assert_ne!(node.spool(), command.spool());
        let folder = command.folder.clone();
        drop(command);
        assert!(!folder.exists());
        let (next, ()) = tokio::join!(take(Role::Node), async { drop(node) });
        next.unwrap();
    }

    #[tokio::test]
    async fn what_a_killed_command_left_is_removed_and_a_running_ones_is_not() {
        let data = tempfile::tempdir().unwrap();
        let killed = data.path().join("commands/0-0");
        fs::create_dir_all(killed.join("spool")).unwrap();
        File::create(killed.join(LOCK)).unwrap();
        let running = Scratch::take(data.path(), Role::Command).await.unwrap();
        let _node = Scratch::take(data.path(), Role::Node).await.unwrap();
        assert!(!killed.exists());
        assert!(running.folder.exists());
    }
}
