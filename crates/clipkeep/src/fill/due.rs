//! Starting what is due: fresh clips and backlog, so that neither starves the
//! other.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use clipkeep_core::time::Timestamp;
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{FillEnd, FillEngine, FillHandle, Inner, task};
use crate::catalog::{Attempt, CatalogError, Claim, Fault, Quota};

/// How many clips are claimed at once.
const BATCH: usize = 32;
/// How long to rest where more is due than there are slots for. A fill that
/// ends, or a webhook on this node, ends the rest.
const RECHECK_WHEN_FULL: Duration = Duration::from_secs(1);

/// What was started.
#[derive(Default)]
struct Started {
    handles: Vec<FillHandle>,
    /// How many were claimed, and for how many there was room.
    claimed: usize,
    room: usize,
    /// Whether there may be more of the backlog, or suspects, but no more slots.
    is_full: bool,
}

impl FillEngine {
    /// Fills what is due until [`FillEngine::close`], within the bounds.
    pub async fn run(&self) {
        let inner = &self.0;
        while !inner.closing.is_cancelled() {
            let pause = match self.start_due().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot look for due clips");
                    RECHECK_WHEN_FULL
                }
            };
            tokio::select! {
                () = inner.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = inner.closing.cancelled() => {}
            }
        }
    }

    /// Fills what is due now, `most` clips at most, and tells how each ended.
    /// Returns when nothing is due any more and all have ended. Dropping the
    /// future starts no more; those that run go on until [`FillEngine::close`].
    ///
    /// # Errors
    /// If the catalogue cannot be asked; those that run go on.
    pub async fn fill_due(&self, most: usize, mut ended: impl FnMut(FillEnd)) -> Result<(), CatalogError> {
        let (mut left, mut running) = (most, FuturesUnordered::new());
        loop {
            let started = self.start_some(left.min(BATCH)).await?;
            left -= started.claimed;
            running.extend(started.handles.into_iter().map(FillHandle::ended));
            if started.claimed > 0 && started.claimed == started.room {
                continue;
            }
            match running.next().await {
                Some(end) => ended(end),
                None if started.claimed == 0 => return Ok(()),
                None => {}
            }
        }
    }

    /// Starts due fills while there are free slots; answers how long to rest.
    async fn start_due(&self) -> Result<Duration, CatalogError> {
        loop {
            let Some(first) = self.free(&self.0.slots).await else { return Ok(Duration::ZERO) };
            drop(first);
            let now = self.0.steady.now(&*self.0.parts.clock);
            let started = self.start_some(BATCH).await?;
            if started.claimed < started.room {
                return if started.is_full { Ok(RECHECK_WHEN_FULL) } else { self.rest(now).await };
            }
        }
    }

    /// Claims and starts as many due clips as there are free slots, `most` at
    /// most.
    async fn start_some(&self, most: usize) -> Result<Started, CatalogError> {
        let (inner, parts) = (&self.0, &self.0.parts);
        let slots = take(&inner.slots, most);
        if slots.is_empty() || inner.closing.is_cancelled() {
            return Ok(Started::default());
        }
        let room = slots.len();
        let mut for_backlog = take(&inner.backlog_slots, room);
        let mut for_suspect = take(&inner.suspect_slot, 1);
        let quota = self.quota(room, for_backlog.len(), for_suspect.len());
        let _claiming = inner.claiming.lock().await;
        if inner.closing.is_cancelled() {
            return Ok(Started::default());
        }
        let (now, lease) = inner.steady.take(&*parts.clock);
        let claims = parts.catalog.claim_due(&parts.node, now, lease, quota).await?;
        let claimed = claims.len();
        let of_backlog = claims.iter().filter(|claim| claim.backlog).count();
        let is_full = (of_backlog == for_backlog.len() && for_backlog.len() < room)
            || for_suspect.is_empty()
            || claims.iter().any(Claim::is_suspect);
        let start = |(claim, slot): (Claim, _)| {
            let of_backlog = claim.backlog.then(|| for_backlog.pop()).flatten();
            let of_suspect = claim.is_suspect().then(|| for_suspect.pop()).flatten();
            self.start_claimed(claim, (slot, of_backlog, of_suspect))
        };
        let handles = claims.into_iter().zip(slots).filter_map(start).collect();
        Ok(Started { handles, claimed, room, is_full })
    }

    /// Half and half; of an odd number the odd one goes to either in turn.
    fn quota(&self, room: usize, for_backlog: usize, suspects: usize) -> Quota {
        let is_backlogs = self.0.backlogs_turn.fetch_xor(true, Ordering::Relaxed);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let fresh = if is_backlogs { room / 2 } else { room.div_ceil(2) };
        Quota { limit: number(room), fresh: number(fresh), backlog: number(for_backlog), suspects: number(suspects) }
    }

    pub(super) async fn free(&self, slots: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            slot = Arc::clone(slots).acquire_owned() => slot.ok(),
            () = self.0.closing.cancelled() => None,
        }
    }

    async fn rest(&self, now: Timestamp) -> Result<Duration, CatalogError> {
        let longest = self.0.parts.settings.sweep_interval;
        let next = self.0.parts.catalog.next_due().await?;
        Ok(next.map_or(longest, |due| due.since(now).clamp(Duration::from_millis(10), longest)))
    }

    fn start_claimed<S: Send + 'static>(&self, claim: Claim, slot: S) -> Option<FillHandle> {
        let Ok(entry) = self.0.registry.enter(&claim.lease.key) else {
            if let Some(claim) = self.0.registry.give(claim) {
                self.0.tasks.spawn(give_back(Arc::clone(&self.0), claim));
            }
            return None;
        };
        entry.claimed();
        let (inner, handle) = (Arc::clone(&self.0), entry.handle());
        self.0.tasks.spawn(async move {
            let end = task::run(&inner, claim, &entry).await;
            // Whoever hears of the end may want the slot.
            drop(slot);
            entry.finish(end);
            inner.wake.notify_one();
        });
        Some(handle)
    }
}

/// As many slots as are free now.
fn take(slots: &Arc<Semaphore>, most: usize) -> Vec<OwnedSemaphorePermit> {
    std::iter::from_fn(|| Arc::clone(slots).try_acquire_owned().ok()).take(most).collect()
}

/// Gives back a claim on a clip whose fill runs here already: our own lease ran
/// out under it, and it has not noticed yet.
async fn give_back(inner: Arc<Inner>, claim: Claim) {
    let now = inner.parts.clock.now();
    let due = now.plus(Duration::from_secs(1));
    let given = inner
        .parts
        .catalog
        .retry_later(
            &claim.lease,
            Attempt { at: now, bytes: 0 },
            due,
            Fault::Elsewhere,
            "its fill runs on this node already",
        )
        .await;
    if let Err(error) = given {
        tracing::warn!(clip = %claim.lease.key, error = &error as &dyn std::error::Error, "cannot give back a claim");
    }
}
