//! A clock for nodes, which jumps (libfaketime). Their monotonic clock does not.

use std::path::{Path, PathBuf};

/// By how much it is off, in a file that nodes read.
pub(crate) struct Clock(PathBuf);

impl Clock {
    pub(crate) fn new(dir: &Path) -> Self {
        let clock = Self(dir.join("offset"));
        clock.jump(0);
        clock
    }

    /// So many seconds from the real time.
    pub(crate) fn jump(&self, seconds: i64) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(&new, &self.0).unwrap();
    }

    /// What makes a node go by it.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let (library, offset) = (libfaketime().display().to_string(), self.0.display().to_string());
        let faked = [("LD_PRELOAD", &*library), ("FAKETIME_TIMESTAMP_FILE", &offset), ("FAKETIME_NO_CACHE", "1")];
        let faked = faked.into_iter().chain([("FAKETIME_DONT_FAKE_MONOTONIC", "1")]);
        faked.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// Removes what libfaketime leaves of a process that was killed.
pub(crate) fn forget(pid: u32) {
    for left in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
        let _ = std::fs::remove_file(Path::new("/dev/shm").join(left));
    }
}

/// Debian keeps it in a folder of the machine's architecture.
fn libfaketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().filter_map(Result::ok);
    let found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    found.expect("libfaketime is missing: run ./test once, it installs it")
}
