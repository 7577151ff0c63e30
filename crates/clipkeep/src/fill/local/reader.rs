//! Those who read along.

use std::{fs::File, ops::Range, sync::Arc};

use bytes::Bytes;
use clipkeep_core::view::View;
use tokio::sync::watch;

use super::{Ended, LocalCopy, State, blocking, whole::Phase};
use crate::faststart::{Fast, ReadAt};

/// How far ahead of a new viewer the download looks.
const FIRST_WINDOW: u64 = 512 * 1024;
/// How far ahead of one that reads on and on.
const LARGEST_WINDOW: u64 = 16 * 1024 * 1024;
/// The most bytes handed over at once where they must be read into memory.
const MAX_COPIED_READ: u64 = 128 * 1024;
/// The most bytes handed over at once where they are mapped.
const MAX_MAPPED_READ: u64 = 4 * 1024 * 1024;

/// Reads one generation of the bytes in order.
pub struct Reader {
    copy: Arc<LocalCopy>,
    generation: u64,
    changed: watch::Receiver<()>,
}

impl Reader {
    pub(super) fn new(copy: Arc<LocalCopy>) -> Self {
        let changed = copy.changed.subscribe();
        let generation = copy.state.lock().generation;
        Self { copy, generation, changed }
    }

    /// Waits until at least the first `len` bytes are there, or all of them,
    /// and answers how many are there from the start on. Fewer than `len`
    /// means: complete, and that is all. Dropping the future is safe.
    pub async fn wait_for(&mut self, len: u64) -> Result<u64, Ended> {
        let generation = self.generation;
        let ready = |state: &mut State| {
            alive(state, generation)?;
            let there = state.have.end_from(0);
            Ok((there >= len || state.is_at_end()).then_some(there))
        };
        until(&self.copy, &mut self.changed, ready).await
    }

    /// The bytes of `range`, all of which must be there already.
    pub async fn read_at(&self, range: Range<u64>) -> Result<Bytes, Ended> {
        read(&self.copy, self.generation, range).await
    }
}

/// In which order a copy's bytes are served.
pub enum Order {
    /// As the row says: in their own, or in that of a view.
    Decided(Option<Fast>),
    /// The row does not say yet: whoever is served first decides.
    Undecided,
}

impl Order {
    /// As it is kept in a row.
    pub fn view(&self) -> Option<View> {
        match self {
            Self::Decided(fast) => Some(fast.as_ref().map_or(View::Plain, Fast::view)),
            Self::Undecided => None,
        }
    }
}

/// What a viewer must know of a copy before the first byte.
pub struct Shown {
    pub epoch: i64,
    /// The length, where the source said.
    pub total: Option<u64>,
    /// The order of the bytes.
    pub order: Order,
}

/// Somebody who waits for pieces of the clip, and whose wait the download knows.
pub struct Viewer {
    copy: Arc<LocalCopy>,
    generation: u64,
    changed: watch::Receiver<()>,
    want: Option<u64>,
    window: u64,
    is_counted: bool,
}

impl Viewer {
    pub(super) fn new(copy: Arc<LocalCopy>, is_counted: bool) -> Self {
        let changed = copy.changed.subscribe();
        let generation = copy.state.lock().generation;
        if is_counted {
            copy.audience.enter();
        }
        Self { copy, generation, changed, want: None, window: FIRST_WINDOW, is_counted }
    }

    /// Which version of the bytes it sees.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Waits until it is known what is served, and on disk.
    pub async fn shown(&mut self) -> Result<Arc<Shown>, Ended> {
        let generation = &mut self.generation;
        let ready = |state: &mut State| {
            // Nothing was handed out yet: a new version is as good.
            *generation = state.generation;
            alive(state, *generation)?;
            Ok(state.shown.clone())
        };
        until(&self.copy, &mut self.changed, ready).await
    }

    /// Waits until `ready` answers something of the version that it sees.
    pub(super) async fn until<T>(
        &mut self,
        mut ready: impl FnMut(&mut State) -> Result<Option<T>, Ended>,
    ) -> Result<T, Ended> {
        let generation = self.generation;
        let ready = |state: &mut State| {
            alive(state, generation)?;
            ready(state)
        };
        until(&self.copy, &mut self.changed, ready).await
    }

    /// Says what will be waited for soon.
    pub fn want(&mut self, range: Range<u64>) {
        let mut state = self.copy.state.lock();
        if tell(&mut state, &mut self.want, range) {
            self.copy.wanted.notify_one();
        }
    }

    /// Waits for the first byte of `range`, and answers it with as many of
    /// those behind it as are there. Empty at the end of the clip.
    pub async fn next(&mut self, range: Range<u64>) -> Result<Bytes, Ended> {
        let (generation, copy, window) = (self.generation, &self.copy, self.window);
        let want = &mut self.want;
        let ready = |state: &mut State| {
            alive(state, generation)?;
            let end = state.have.end_from(range.start).min(range.end);
            if end > range.start {
                let limit = if state.map.is_some() { MAX_MAPPED_READ } else { MAX_COPIED_READ };
                let end = end.min(range.start + limit);
                let mapped = state.map.as_ref().map(|map| map.slice(range.start as usize..end as usize));
                return Ok(Some((range.start..end, mapped)));
            }
            if state.is_at_end() {
                return Ok(Some((range.start..range.start, Some(Bytes::new()))));
            }
            if tell(state, want, range.start..range.end.min(range.start + window)) {
                copy.wanted.notify_one();
            }
            Ok(None)
        };
        let (there, mapped) = until(&self.copy, &mut self.changed, ready).await?;
        self.window = (self.window * 2).min(LARGEST_WINDOW);
        match mapped {
            Some(bytes) => Ok(bytes),
            None => read(&self.copy, generation, there).await,
        }
    }

    /// Waits for all of `range`, and answers it: for a look at few bytes.
    pub async fn all(&mut self, range: Range<u64>) -> Result<Bytes, Ended> {
        let mut at = range.start;
        while at < range.end {
            let bytes = self.next(at..range.end).await?;
            if bytes.is_empty() {
                break;
            }
            at += bytes.len() as u64;
        }
        read(&self.copy, self.generation, range.start..at).await
    }
}

impl ReadAt for Viewer {
    type Error = Ended;

    async fn read_at(&mut self, range: Range<u64>) -> Result<Bytes, Ended> {
        self.all(range).await
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        if let Some(want) = self.want {
            self.copy.state.lock().wants.remove(&want);
        }
        if self.is_counted {
            self.copy.audience.leave();
        }
    }
}

/// Notes what is wanted; answers whether that is news.
fn tell(state: &mut State, want: &mut Option<u64>, range: Range<u64>) -> bool {
    let id = *want.get_or_insert_with(|| {
        state.next_want += 1;
        state.next_want
    });
    state.wants.insert(id, range.clone()).is_none_or(|before| before != range)
}

fn alive(state: &State, generation: u64) -> Result<(), Ended> {
    if state.generation != generation {
        return Err(Ended::Restarted);
    }
    if state.phase == Phase::Aborted { Err(Ended::Aborted) } else { Ok(()) }
}

/// Waits until `ready` answers something.
async fn until<T>(
    copy: &LocalCopy,
    changed: &mut watch::Receiver<()>,
    mut ready: impl FnMut(&mut State) -> Result<Option<T>, Ended>,
) -> Result<T, Ended> {
    loop {
        changed.borrow_and_update();
        if let Some(found) = ready(&mut copy.state.lock())? {
            return Ok(found);
        }
        changed.changed().await.map_err(|_| Ended::Aborted)?;
    }
}

async fn read(copy: &LocalCopy, generation: u64, range: Range<u64>) -> Result<Bytes, Ended> {
    let file: Arc<File> = Arc::clone(&copy.state.lock().file);
    let read = blocking(move || LocalCopy::bytes_at(&file, range)).await;
    if copy.state.lock().generation != generation {
        return Err(Ended::Restarted);
    }
    Ok(read?)
}
