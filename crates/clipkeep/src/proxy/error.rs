//! Why a call was not passed, or its answer not passed on.

use std::io;

use crate::{catalog::CatalogError, provider::RelayError};

/// Why a call ended here. No text holds an address or a key.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// 400: the tenant's name is none.
    #[error("x-clipkeep-tenant: {0}")]
    BadTenant(String),
    /// 404: a tenant asks for what is not its own.
    #[error("there is no such generation")]
    NotYours,
    /// 415: a body that is not said to be JSON.
    #[error("the body must be application/json, not packed")]
    NotJson,
    /// 413: a body without an end.
    #[error("the body is larger than {max} bytes")]
    TooLarge { max: u64 },
    /// 400: the body did not come.
    #[error("the body {0}")]
    Body(&'static str),
    /// 503, 502 or 504: fal did not answer.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// 500: a body cannot be put aside.
    #[error("keeping a body that passes")]
    BodySpool(#[source] io::Error),
    /// 503: the disk for bodies that pass is taken, or a tenant's share of it.
    #[error("the bodies that wait on this node fill what `proxy_disk` allows them, or a tenant; try again")]
    NoRoom,
    /// 503: what came of a generation cannot be recorded; asking again is safe.
    #[error("recording what came of a generation")]
    Catalog(#[source] CatalogError),
    /// 503: too many calls go on whose callers may have left.
    #[error("too many calls to fal are under way")]
    Busy,
    /// 503: the node stops.
    #[error("clipkeep is shutting down")]
    Stopping,
    /// 500: a fault of ours.
    #[error("a call that passes failed within")]
    Panicked,
}

impl ProxyError {
    /// A body could not be put aside.
    pub(super) fn body_spool(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::QuotaExceeded | io::ErrorKind::StorageFull => Self::NoRoom,
            _ => Self::BodySpool(error),
        }
    }
}
