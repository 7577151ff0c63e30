//! Open files: how many the process may have, and who gets what share of them.
//!
//! Connections get five eighths. The rest is for clips at hand, copies in the cache,
//! fills and their connections, the database, and what nobody thought of.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Takes as many open files as the system lets us have: each viewer and each
/// hot clip takes one, and the usual limit of 1024 is for old programs' sake.
pub fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// One part in so many of all open files that there may be; at least one.
pub fn share(parts: u64) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit / parts).unwrap_or(usize::MAX).max(1)
}

/// Whether this is for want of open files.
pub fn are_used_up(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(code, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}
