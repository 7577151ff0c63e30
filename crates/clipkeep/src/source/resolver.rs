//! Names to addresses, judged on the very list that is connected to. There is
//! no second look-up between the judgement and the connection, so a name that
//! changes its mind gains nothing (DNS rebinding).

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use clipkeep_core::address::{Forbidden, judge_ip};
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// What answers a look-up: the system's resolver, or a test's.
pub(super) type LookUp = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// The system's resolver.
pub(super) fn system() -> LookUp {
    Arc::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }))
}

/// A resolver that answers with allowed addresses only. It is asked for each
/// new connection; literal addresses never reach it and are judged with their
/// URL.
pub(super) struct JudgingResolver {
    pub(super) look_up: LookUp,
    pub(super) allow_private: bool,
    pub(super) timeout: Duration,
}

impl Resolve for JudgingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let answer = tokio::time::timeout(self.timeout, (self.look_up)(name.as_str().to_owned()));
        let allow_private = self.allow_private;
        Box::pin(async move {
            let mut addresses = answer.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            if addresses.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            addresses.retain(|address| judge_ip(address.ip(), allow_private).is_ok());
            if addresses.is_empty() {
                return Err(Forbidden::Address.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
