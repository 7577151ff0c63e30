//! Who runs on this machine.

use std::fs;

/// How many processes have this in their command lines.
pub(crate) fn processes(marker: &str) -> usize {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter(|process| fs::read_to_string(process.path().join("cmdline")).is_ok_and(|line| line.contains(marker)))
        .count()
}
