//! How many connections to sources are open: per host, and in all.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Forget idle hosts once there are so many.
const MAX_IDLE_HOSTS: usize = 256;

pub(super) struct ConnectionLimits {
    all: Arc<Semaphore>,
    /// So many stay free of connections that only speed a fill up.
    reserve: usize,
    per_host: usize,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// The right to one connection.
pub(super) struct Permit {
    _all: OwnedSemaphorePermit,
    _host: OwnedSemaphorePermit,
}

impl ConnectionLimits {
    pub(super) fn new(all: usize, per_host: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), reserve: all / 4, per_host, hosts: Mutex::default() }
    }

    fn host(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock();
        if hosts.len() >= MAX_IDLE_HOSTS {
            hosts.retain(|_, permits| Arc::strong_count(permits) > 1);
        }
        Arc::clone(hosts.entry(host.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(self.per_host))))
    }

    /// Waits for a connection that is needed.
    pub(super) async fn acquire(&self, host: &str) -> Option<Permit> {
        // First the host's: who waits for a busy host must not hold up others.
        let of_host = self.host(host).acquire_owned().await.ok()?;
        Some(Permit { _host: of_host, _all: Arc::clone(&self.all).acquire_owned().await.ok()? })
    }

    /// A connection that would be nice to have.
    pub(super) fn spare(&self, host: &str) -> Option<Permit> {
        if self.all.available_permits() <= self.reserve {
            return None;
        }
        let of_host = self.host(host).try_acquire_owned().ok()?;
        Some(Permit { _host: of_host, _all: Arc::clone(&self.all).try_acquire_owned().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn spares_leave_a_quarter_and_hosts_have_their_share() {
        let connection_limits = ConnectionLimits::new(8, 3);
        let held: Vec<_> =
            ["a", "b"].iter().flat_map(|host| (0..3).filter_map(|_| connection_limits.spare(host))).collect();
        assert_eq!(held.len(), 6);
        assert!(connection_limits.spare("c").is_none(), "the rest is kept for what is needed");
        let needed = connection_limits.acquire("c").await.unwrap();
        assert!(futures_util::FutureExt::now_or_never(connection_limits.acquire("a")).is_none(), "its host is full");
        drop((held, needed));
        assert!(connection_limits.spare("a").is_some());
    }

    #[test]
    fn idle_hosts_are_forgotten() {
        let connection_limits = ConnectionLimits::new(8, 3);
        (0..MAX_IDLE_HOSTS * 3).for_each(|n| drop(connection_limits.spare(&n.to_string())));
        assert!(connection_limits.hosts.lock().len() <= MAX_IDLE_HOSTS);
    }
}
