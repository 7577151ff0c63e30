//! Holding a lease while a fill runs.

use std::time::Duration;

use super::{Inner, local::LocalCopy};
use crate::catalog::{CatalogError, Lease};

/// Renews `lease` until it is lost; returns only then. Time is measured by the
/// monotonic clock: a jump of the wall clock neither ends nor prolongs it here.
pub(super) async fn hold(inner: &Inner, lease: &Lease, copy: &LocalCopy) {
    let span = inner.parts.settings.lease;
    let mut held_until = tokio::time::Instant::now() + span;
    loop {
        tokio::time::sleep(span / 3).await;
        let asked_at = tokio::time::Instant::now();
        let until = inner.parts.clock.now().plus(span);
        match inner.parts.catalog.renew(lease, until, copy.sum()).await {
            Ok(()) => held_until = asked_at + span,
            Err(CatalogError::LeaseLost { .. }) => return,
            // The database is away. The lease still holds until it runs out.
            Err(error) => {
                tracing::warn!(clip = %lease.key, error = &error as &dyn std::error::Error, "cannot renew a lease");
                if tokio::time::Instant::now() + Duration::from_millis(1) >= held_until {
                    return;
                }
            }
        }
    }
}
