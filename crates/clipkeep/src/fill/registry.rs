//! The fills that run on this node, by clip.

use std::{
    collections::{HashMap, hash_map::Entry::Vacant},
    sync::Arc,
};

use clipkeep_core::id::ClipKey;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::local::LocalCopy;
use crate::catalog::Claim;

/// How a fill ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FillEnd {
    /// The clip is in the store.
    Stored,
    /// It failed for now and will be tried again.
    Later,
    Lost,
    /// What came is no acceptable media.
    Rejected,
    /// The lease went to someone else, or the node stops.
    Abandoned,
    /// There was nothing to fill: unknown, over, or leased elsewhere.
    Nothing,
}

impl FillEnd {
    /// The word used in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Later => "later",
            Self::Lost => "lost",
            Self::Rejected => "rejected",
            Self::Abandoned => "abandoned",
            Self::Nothing => "nothing",
        }
    }
}

/// How far a running fill is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are here.
    pub have: u64,
    /// Bytes there will be, where the source said.
    pub total: Option<u64>,
}

/// Somebody who waits for a running fill. Dropping it does not stop the fill.
#[derive(Clone)]
pub struct FillHandle(watch::Receiver<Stage>);

/// How far a fill is.
#[derive(Clone, Default)]
struct Stage {
    copy: Option<Arc<LocalCopy>>,
    end: Option<FillEnd>,
}

impl FillHandle {
    /// Waits for the end. A fill that vanished (it panicked) counts as let go.
    pub async fn ended(mut self) -> FillEnd {
        match self.0.wait_for(|stage| stage.end.is_some()).await {
            Ok(stage) => stage.end.clone().unwrap_or(FillEnd::Abandoned),
            Err(_) => FillEnd::Abandoned,
        }
    }

    /// How far it is now; none before its copy begins.
    pub fn progress(&self) -> Option<Progress> {
        let copy = self.0.borrow().copy.clone()?;
        let total = copy.opened().and_then(|opened| opened.total);
        Some(Progress { have: copy.sum(), total })
    }

    /// Waits for the copy that it fills, or for its end.
    pub async fn copy(&mut self) -> Result<Arc<LocalCopy>, FillEnd> {
        match self.0.wait_for(|stage| stage.end.is_some() || stage.copy.is_some()).await {
            Ok(stage) => match (&stage.end, &stage.copy) {
                (None, Some(copy)) => Ok(Arc::clone(copy)),
                (end, _) => Err(end.clone().unwrap_or(FillEnd::Abandoned)),
            },
            Err(_) => Err(FillEnd::Abandoned),
        }
    }
}

type Map = Arc<Mutex<HashMap<ClipKey, Entry>>>;

/// A fill that runs, or is about to.
struct Entry {
    handle: FillHandle,
    claim: Claiming,
    deleted: CancellationToken,
    /// Whether the clip had another name when its fill began.
    is_other: bool,
}

/// Whether the fill has its claim.
enum Claiming {
    Asked,
    /// The look for due clips was faster: here it is.
    Given(Box<Claim>),
    Held,
}

#[derive(Default)]
pub(super) struct Registry(Map);

/// The right to be the one fill of a clip on this node. Dropping it, finished
/// or not, frees the clip and wakes everyone who waits.
pub(super) struct Running {
    key: ClipKey,
    /// The name that its bytes gave the clip meanwhile.
    other: Mutex<Option<ClipKey>>,
    map: Map,
    stage: watch::Sender<Stage>,
    deleted: CancellationToken,
}

impl Registry {
    /// Enters `key`, or gives a handle on the fill that runs.
    pub(super) fn enter(&self, key: &ClipKey) -> Result<Running, FillHandle> {
        let mut map = self.0.lock();
        if let Some(running) = map.get(key) {
            return Err(running.handle.clone());
        }
        let (stage, receiver) = watch::channel(Stage::default());
        let deleted = CancellationToken::new();
        let entry =
            Entry { handle: FillHandle(receiver), claim: Claiming::Asked, deleted: deleted.clone(), is_other: false };
        map.insert(key.clone(), entry);
        Ok(Running { key: key.clone(), other: Mutex::default(), map: Arc::clone(&self.0), stage, deleted })
    }

    /// Gives a claim to a fill that asks for just this one; answers it if none
    /// does.
    pub(super) fn give(&self, claim: Claim) -> Option<Claim> {
        match self.0.lock().get_mut(&claim.lease.key) {
            Some(entry) if matches!(entry.claim, Claiming::Asked) => {
                entry.claim = Claiming::Given(Box::new(claim));
                None
            }
            _ => Some(claim),
        }
    }

    /// A handle on the fill of `key`, if one runs here.
    pub(super) fn find(&self, key: &ClipKey) -> Option<FillHandle> {
        self.0.lock().get(key).map(|entry| entry.handle.clone())
    }

    /// Ends the fill of `key`, whose clip was deleted.
    pub(super) fn cancel(&self, key: &ClipKey) {
        if let Some(entry) = self.0.lock().get(key) {
            entry.deleted.cancel();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().values().filter(|entry| !entry.is_other).count()
    }
}

impl Running {
    pub(super) fn handle(&self) -> FillHandle {
        FillHandle(self.stage.subscribe())
    }

    /// The end of asking for a claim; what was given meanwhile.
    pub(super) fn claimed(&self) -> Option<Claim> {
        let mut map = self.map.lock();
        match std::mem::replace(&mut map.get_mut(&self.key)?.claim, Claiming::Held) {
            Claiming::Given(claim) => Some(*claim),
            Claiming::Asked | Claiming::Held => None,
        }
    }

    /// Whoever asks for the clip by this name joins this fill, too.
    pub(super) fn answer_to(&self, key: &ClipKey) {
        let (handle, deleted) = (self.handle(), self.deleted.clone());
        let mut map = self.map.lock();
        if let Vacant(place) = map.entry(key.clone()) {
            place.insert(Entry { handle, claim: Claiming::Held, deleted, is_other: true });
            drop(map);
            *self.other.lock() = Some(key.clone());
        }
    }

    /// That name is somebody else's after all.
    pub(super) fn answer_to_no_other(&self) {
        if let Some(other) = self.other.lock().take() {
            self.map.lock().remove(&other);
        }
    }

    /// Waits until the clip is deleted.
    pub(super) async fn deleted(&self) {
        self.deleted.cancelled().await;
    }

    /// Lets viewers at the copy.
    pub(super) fn show(&self, copy: &Arc<LocalCopy>) {
        self.stage.send_modify(|stage| stage.copy = Some(Arc::clone(copy)));
    }

    pub(super) fn finish(self, end: FillEnd) {
        self.stage.send_replace(Stage { copy: None, end: Some(end) });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut map = self.map.lock();
        map.remove(&self.key);
        if let Some(other) = self.other.get_mut() {
            map.remove(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_comer_joins_and_a_vanished_fill_frees_the_clip() {
        let registry = Registry::default();
        let key: ClipKey = "a.mp4".parse().unwrap();
        let running = registry.enter(&key).ok().unwrap();
        let joined = registry.enter(&key).err().unwrap();
        running.finish(FillEnd::Stored);
        assert_eq!(joined.ended().await, FillEnd::Stored);

        let running = registry.enter(&key).ok().unwrap();
        let joined = registry.enter(&key).err().unwrap();
        drop(running);
        assert_eq!(joined.ended().await, FillEnd::Abandoned);
        assert_eq!(registry.len(), 0);
    }
}
