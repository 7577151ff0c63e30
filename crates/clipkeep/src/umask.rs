//! Who may read what this process makes: its own user alone. The files that a
//! user names (exports, reports, pages) have the modes that his shell asks for.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, sync::OnceLock};

use rustix::fs::Mode;

/// What the process was started with.
static GIVEN: OnceLock<Mode> = OnceLock::new();

/// From now on folders are made with 0700 and files with 0600, by whichever
/// library. Called before there are other threads.
pub fn keep_private() {
    let given = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let _ = GIVEN.set(given);
}

/// The mode of a file that the user names.
pub(crate) fn of_users_files() -> Permissions {
    let masked = GIVEN.get().map_or(Mode::WGRP | Mode::WOTH, |given| *given);
    Permissions::from_mode(0o666 & !masked.as_raw_mode())
}
