//! What must be on disk before a viewer gets the first byte: which version of
//! the source this content epoch is, and in which order its bytes are served.
//! One commit says both, while the first pieces come in.

use std::sync::Arc;

use clipkeep_core::{version::same_version, view::View};

use crate::{
    catalog::{Claim, Pinned},
    faststart::{Fast, find},
    fill::{
        Inner,
        local::{Ended, LocalCopy, Opened, Order, Shown},
        task::FillError,
    },
    source::SourceError,
};

/// One version that is to be shown.
struct Show<'a> {
    inner: &'a Inner,
    claim: &'a Claim,
    copy: &'a Arc<LocalCopy>,
}

/// Shows each version that the copy is opened for, as soon as the row says what
/// it is. Returns only if it cannot.
pub(super) async fn follow(inner: &Inner, claim: &Claim, copy: &Arc<LocalCopy>) -> FillError {
    let show = Show { inner, claim, copy };
    loop {
        let opened = copy.until_opened().await;
        let shown = show.show(&opened).await;
        // What became of a version that is given up does not matter.
        if copy.opened().as_ref() != Some(&opened) {
            continue;
        }
        match shown {
            Ok(shown) => copy.show(shown),
            Err(error) => return error,
        }
    }
}

impl Show<'_> {
    /// Lets the row say what a viewer must know.
    async fn show(&self, opened: &Opened) -> Result<Shown, FillError> {
        let order = match self.pinned_before(opened) {
            Some(pinned) => self.order(opened, pinned.view, Order::Undecided).await?,
            None => {
                let found = self.look(opened).await.map_err(unreadable)?;
                let pinned = self.pin(opened, found.view().as_ref()).await?;
                self.order(opened, pinned.view, found).await?
            }
        };
        Ok(Shown { epoch: opened.epoch, total: opened.total, order })
    }

    /// What an earlier attempt left in the row, if it says all there is to say.
    fn pinned_before(&self, opened: &Opened) -> Option<Pinned> {
        let clip = &self.claim.clip;
        let version = clip.version.clone().filter(|_| clip.epoch == opened.epoch)?;
        let complete = clip.view.is_some() || !self.inner.parts.settings.fast_start;
        (complete && same_version(&version, &opened.version)).then_some(Pinned { version, view: clip.view })
    }

    /// The order that the bytes themselves ask for. Only pieces out of order
    /// tell it in time: a source that gives none any more leaves it open.
    async fn look(&self, opened: &Opened) -> Result<Order, Ended> {
        let Some(total) = opened.total.filter(|_| opened.ranges && self.inner.parts.settings.fast_start) else {
            return Ok(Order::Undecided);
        };
        let mut look = self.copy.uncounted_viewer();
        tokio::select! {
            biased;
            found = find(total, &mut look) => Ok(Order::Decided(found?)),
            () = self.copy.until_single() => Ok(Order::Undecided),
        }
    }

    async fn pin(&self, opened: &Opened, view: Option<&View>) -> Result<Pinned, FillError> {
        let (clip, version) = (&self.claim.clip, &opened.version);
        let pinned = self.inner.parts.catalog.pin(&clip.key, opened.epoch, version, view).await?;
        // Another node, or an earlier attempt, may have served another version
        // under this epoch. One that cannot be told from others is only ours if
        // nobody was here before.
        let first = opened.epoch != clip.epoch || clip.version.is_none();
        pinned
            .filter(|pinned| same_version(&pinned.version, version) || (first && pinned.version == *version))
            .ok_or_else(|| SourceError::changed().into())
    }

    /// The order to serve in, where the row decided on `view`.
    async fn order(&self, opened: &Opened, view: Option<View>, found: Order) -> Result<Order, FillError> {
        if !self.inner.parts.settings.fast_start {
            return Ok(Order::Decided(None));
        }
        match (view, found) {
            (Some(View::Plain), _) => Ok(Order::Decided(None)),
            (Some(View::FastStart(at)), Order::Decided(Some(fast))) if fast.at == at => Ok(Order::Decided(Some(fast))),
            (Some(View::FastStart(at)), _) if opened.ranges => {
                // Decided when less was known to be odd: then it is served in
                // its own order, under that order's ETag.
                Ok(Order::Decided(Fast::load(at, &mut self.copy.uncounted_viewer()).await.map_err(unreadable)?))
            }
            _ => Ok(Order::Undecided),
        }
    }
}

/// The fill itself ends the copy, so but for the disk nothing comes of this.
fn unreadable(ended: Ended) -> FillError {
    match ended {
        Ended::Unreadable(error) => FillError::Disk(error),
        Ended::Restarted | Ended::Aborted => FillError::Incomplete(ended.to_string()),
    }
}
