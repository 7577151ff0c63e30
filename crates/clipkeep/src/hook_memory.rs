//! The memory that webhooks share which nobody has verified yet: strangers can
//! send bodies, too.
//!
//! A body takes room as it comes, not as it says it will. Where there is none
//! left, the one that is under way for the longest gives up its own: a genuine
//! webhook that comes in a moment is never that one, however many strangers hold
//! theirs open.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The memory.
pub struct HookMemory {
    most: u64,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Default)]
struct State {
    used: u64,
    next: u64,
    /// Bodies that are not here in full, the oldest first.
    coming: BTreeMap<u64, CancellationToken>,
}

/// The body was under way for too long while others needed its room.
#[derive(Debug, thiserror::Error)]
#[error("too much is being sent at once")]
pub struct Crowded;

impl HookMemory {
    /// So many bytes.
    pub fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { most, state: Mutex::default(), freed: Notify::new() })
    }

    /// Room for a body that begins to come.
    pub fn enter(self: &Arc<Self>) -> Room {
        let leave = CancellationToken::new();
        let mut state = self.state.lock();
        state.next += 1;
        let id = state.next;
        state.coming.insert(id, leave.clone());
        Room { memory: Arc::clone(self), id, held: 0, leave }
    }

    /// How much is taken.
    pub fn used(&self) -> u64 {
        self.state.lock().used
    }
}

/// One body's room, given back when it goes.
pub struct Room {
    memory: Arc<HookMemory>,
    id: u64,
    held: u64,
    leave: CancellationToken,
}

impl Room {
    /// Takes `by` bytes more. Dropping the future takes nothing.
    ///
    /// # Errors
    /// If this is the body that has to go.
    pub async fn grow(&mut self, by: u64) -> Result<(), Crowded> {
        loop {
            let freed = self.memory.freed.notified();
            {
                let mut state = self.memory.state.lock();
                if self.leave.is_cancelled() {
                    return Err(Crowded);
                }
                if state.used + by <= self.memory.most {
                    state.used += by;
                    self.held += by;
                    return Ok(());
                }
                match state.coming.first_key_value() {
                    Some((id, _)) if *id == self.id && state.coming.len() > 1 => return Err(Crowded),
                    Some((id, oldest)) if *id != self.id => oldest.cancel(),
                    _ => {}
                }
            }
            freed.await;
        }
    }

    /// The body is here: from now on it is not asked to go.
    pub fn is_here(&self) {
        self.memory.state.lock().coming.remove(&self.id);
    }

    /// Waits until this body has to go.
    pub fn crowded_out(&self) -> impl Future<Output = ()> + Send + 'static {
        self.leave.clone().cancelled_owned()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.memory.state.lock();
        state.used -= self.held;
        state.coming.remove(&self.id);
        drop(state);
        self.memory.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn h05_who_is_under_way_for_the_longest_makes_room() {
        let memory = HookMemory::new(100);
        let (mut first, mut second) = (memory.enter(), memory.enter());
        first.grow(60).await.unwrap();
        second.grow(40).await.unwrap();
        let mut genuine = memory.enter();
        let leaves = first.crowded_out();
        let (taken, ()) = tokio::join!(genuine.grow(10), async {
            leaves.await;
            drop(first);
        });
        taken.unwrap();
        assert_eq!(memory.used(), 50);
        // Whose body is here stays; the oldest that asks for too much goes itself.
        genuine.is_here();
        let _third = memory.enter();
        assert!(second.grow(60).await.is_err());
        drop((second, genuine));
        assert_eq!(memory.used(), 0);
    }
}
