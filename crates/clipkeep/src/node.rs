//! What this process is called, in leases and in the history.

use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom as _, SystemRandom};

/// A name that no other process has, alive or dead: a container that starts again
/// has its host's name and its process id again.
pub(crate) fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut own = [0; 4];
    // Without randomness two processes may pass for one: only a guess is lost.
    let _ = SystemRandom::new().fill(&mut own);
    format!("{}:{}-{}", host.trim(), std::process::id(), HEXLOWER.encode(&own))
}
