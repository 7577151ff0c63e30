//! What the copy knows of its source.

use clipkeep_core::{extents::Extents, request_mode::RequestMode};

use super::{LocalCopy, Opened};

impl LocalCopy {
    /// How much the source takes.
    pub fn request_mode(&self) -> RequestMode {
        self.state.lock().request_mode
    }

    /// The source takes no more than this.
    pub fn downgrade(&self, request_mode: RequestMode) {
        let mut state = self.state.lock();
        state.request_mode = state.request_mode.max(request_mode);
        drop(state);
        self.changed.send_replace(());
    }

    /// Waits until the source turns out to take one request at a time. Dropping
    /// the future is safe.
    pub async fn until_single(&self) {
        let mut changed = self.changed.subscribe();
        while self.request_mode() == RequestMode::Parallel && changed.changed().await.is_ok() {}
    }

    /// Waits for a version that is not shown yet. Dropping the future is safe.
    pub async fn until_opened(&self) -> Opened {
        let mut changed = self.changed.subscribe();
        loop {
            let opened = {
                let state = self.state.lock();
                state.opened.clone().filter(|_| state.shown.is_none())
            };
            match opened {
                Some(opened) => return opened,
                // We hold the sender ourselves.
                None => _ = changed.changed().await,
            }
        }
    }

    /// Waits until it is shown. Dropping the future is safe.
    pub async fn until_shown(&self) {
        let mut changed = self.changed.subscribe();
        while self.shown().is_none() && changed.changed().await.is_ok() {}
    }

    /// The bytes that are there.
    pub fn extents(&self) -> Extents {
        self.state.lock().have.clone()
    }
}
