//! When a copy is all there is.

use std::{io, sync::Arc};

use super::{Ended, LocalCopy, State, Viewer, blocking};

/// How far a copy is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Growing,
    /// All that came is here. Nobody promised how much that would be, so
    /// whether it is the whole clip is still to be judged.
    Unjudged,
    Whole,
    Aborted,
}

impl State {
    /// Whether no more bytes will come.
    pub(super) fn is_at_end(&self) -> bool {
        matches!(self.phase, Phase::Unjudged | Phase::Whole)
    }
}

impl LocalCopy {
    /// All bytes came: `total` of them. Nothing changes any more. If that is
    /// what the source promised, the copy is whole.
    pub async fn complete(&self, total: u64) -> io::Result<()> {
        let file = {
            let mut state = self.state.lock();
            if state.have.end_from(0) != total {
                return Err(io::Error::other("the local copy has a hole"));
            }
            state.wants.clear();
            Arc::clone(&state.file)
        };
        blocking(move || file.set_len(total)).await?;
        {
            let mut state = self.state.lock();
            let is_promised = state.opened.as_ref().is_some_and(|opened| opened.total.is_some());
            state.phase = if is_promised { Phase::Whole } else { Phase::Unjudged };
        }
        self.changed.send_replace(());
        Ok(())
    }

    /// What came was looked at: nothing is cut off.
    pub fn accept(&self) {
        self.state.lock().phase = Phase::Whole;
        self.changed.send_replace(());
    }

    /// The download ended. Readers of a copy that is not whole end too.
    pub fn close(&self) {
        let mut state = self.state.lock();
        if state.phase != Phase::Whole {
            state.phase = Phase::Aborted;
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// Whether all of it is here.
    pub fn is_complete(&self) -> bool {
        self.state.lock().phase == Phase::Whole
    }
}

impl Viewer {
    /// Waits until the clip is here and proven whole; answers its length.
    pub async fn whole(&mut self) -> Result<u64, Ended> {
        self.until(|state| Ok((state.phase == Phase::Whole).then(|| state.have.end_from(0)))).await
    }
}
