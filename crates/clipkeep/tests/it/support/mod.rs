//! What the tests stand on.

pub(crate) mod app;
pub(crate) mod browser;
pub(crate) mod bucket_proxy;
pub(crate) mod chaos;
pub(crate) mod clock;
pub(crate) mod eventually;
pub(crate) mod garage;
pub(crate) mod nginx;
pub(crate) mod node;
pub(crate) mod postgres;
pub(crate) mod processes;
pub(crate) mod raw;
pub(crate) mod receiver;
pub(crate) mod tls;
pub(crate) mod wire;
