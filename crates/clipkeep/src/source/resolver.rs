//! Names to addresses, judged on the very list that is connected to: a name
//! that passes and then resolves to a private address gains nothing (DNS
//! rebinding), since there is no second look-up.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use clipkeep_core::address::{Forbidden, judge_ip};
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// What answers a look-up: the system's resolver, or a test's.
pub(super) type LookUp = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A resolver that answers with allowed addresses only.
pub(super) struct GuardedResolver {
    look_up: LookUp,
    allow_private: bool,
}

impl GuardedResolver {
    pub(super) fn new(look_up: LookUp, allow_private: bool) -> Self {
        Self { look_up, allow_private }
    }
}

/// The system's resolver.
pub(super) fn system() -> LookUp {
    Arc::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.collect()) }))
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let answer = (self.look_up)(name.as_str().to_owned());
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found =
                tokio::time::timeout(TIMEOUT, answer).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            let allowed: Vec<_> = found.into_iter().filter(|a| judge_ip(a.ip(), allow_private).is_ok()).collect();
            if allowed.is_empty() {
                return Err(Forbidden::Address.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
