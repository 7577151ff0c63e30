//! Names to addresses, judged on the very list that is connected to. There is
//! no second look-up between the judgement and the connection, so a name that
//! changes its mind gains nothing (DNS rebinding).

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use clipkeep_core::address::{Forbidden, judge_ip};
use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

/// What answers a look-up: the system's resolver, or a test's.
pub(super) type LookUp = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// The system's resolver.
pub(super) fn system() -> LookUp {
    Arc::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }))
}

/// A name has no address that may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unresolved {
    /// None at all, or none in time.
    #[error("the name does not resolve")]
    Unknown,
    /// None that is allowed.
    #[error(transparent)]
    Forbidden(Forbidden),
}

/// A resolver that answers with allowed addresses only. It is asked for each
/// new connection; literal addresses never reach it and are judged with their
/// URL.
#[derive(Clone)]
pub(super) struct JudgingResolver {
    pub(super) look_up: LookUp,
    pub(super) allow_private: bool,
    pub(super) timeout: Duration,
}

impl Service<Name> for JudgingResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = BoxFuture<'static, Result<Self::Response, Unresolved>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let answer = tokio::time::timeout(self.timeout, (self.look_up)(name.as_str().to_owned()));
        let allow_private = self.allow_private;
        Box::pin(async move {
            let Ok(Ok(mut addresses)) = answer.await else { return Err(Unresolved::Unknown) };
            if addresses.is_empty() {
                return Err(Unresolved::Unknown);
            }
            addresses.retain(|address| judge_ip(address.ip(), allow_private).is_ok());
            if addresses.is_empty() {
                return Err(Unresolved::Forbidden(Forbidden::Address));
            }
            Ok(addresses.into_iter())
        })
    }
}
