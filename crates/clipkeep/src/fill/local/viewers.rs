//! Whether anybody reads along.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

use super::{LocalCopy, Viewer};

/// How many viewers there are.
#[derive(Default)]
pub(super) struct ViewerCount {
    viewers: AtomicUsize,
    came: Notify,
}

impl ViewerCount {
    pub(super) fn enter(&self) {
        self.viewers.fetch_add(1, Ordering::AcqRel);
        self.came.notify_waiters();
    }

    pub(super) fn leave(&self) {
        self.viewers.fetch_sub(1, Ordering::AcqRel);
    }
}

impl LocalCopy {
    /// Someone who looks at pieces for the fill's own sake: no viewer counts it.
    pub fn uncounted_viewer(self: &Arc<Self>) -> Viewer {
        Viewer::new(Arc::clone(self), false)
    }

    /// Whether a viewer reads along.
    pub fn is_watched(&self) -> bool {
        self.audience.viewers.load(Ordering::Acquire) > 0
    }

    /// Waits until one does. Dropping the future is safe.
    pub async fn watched(&self) {
        loop {
            let mut came = std::pin::pin!(self.audience.came.notified());
            // From here on a viewer who comes is heard.
            came.as_mut().enable();
            if self.is_watched() {
                return;
            }
            came.await;
        }
    }
}
