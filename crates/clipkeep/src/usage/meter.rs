//! What goes through a connection: how many of a clip's bytes the socket took.
//!
//! The HTTP server takes a body's bytes long before the socket does, so neither
//! alone tells what was delivered. All that the server holds is offered with
//! each write. What of it is no clip's (heads) comes before what is, since no
//! head is queued while bytes of a body are. So the difference is exact.

use std::{sync::Arc, time::Duration};

use clipkeep_core::usage::Marks;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::viewing::Viewing;

/// Where in its clip an answer's bytes stand.
#[derive(Clone, Debug)]
pub enum BytePosition {
    /// One after another, from `start`, in a clip of `len` bytes.
    Range {
        /// The first byte.
        start: u64,
        len: u64,
    },
    /// Somehow: all of these marks, once it is complete.
    Whole(Marks),
    /// Nowhere: they are its poster's, and watching that is no play.
    Beside,
}

/// An answer that carries bytes of a clip.
pub struct Answer {
    pub(super) viewing: Arc<Viewing>,
    pub(super) place: BytePosition,
    pub(super) began: Instant,
    /// How many bytes it has, if known.
    pub(super) expected: Option<u64>,
    pub(super) handed: u64,
    pub(super) sent: u64,
    /// Whether the viewing waits for its end.
    pub(super) is_tracked: bool,
    pub(super) ended: bool,
    /// It broke off for our reasons, not its viewer's.
    pub(super) failed: bool,
}

impl Answer {
    fn sent(&mut self, bytes: u64) {
        // The clock is asked once for an answer that leaves at once.
        let now = Instant::now();
        if self.sent == 0 {
            self.viewing.account.first_byte(micros(now - self.began));
        }
        self.viewing.account.sent(bytes);
        self.sent += bytes;
        match &self.place {
            BytePosition::Range { start, len } if !self.viewing.is_play() => {
                self.viewing.mark(Marks::of(&(*start..start.saturating_add(self.sent)), *len));
            }
            _ => self.viewing.touch(now),
        }
    }

    fn is_complete(&self) -> bool {
        let whole = self.ended || self.expected.is_some_and(|expected| self.handed >= expected);
        whole && !self.failed && self.sent == self.handed
    }
}

impl Drop for Answer {
    /// It is over, however it ended.
    fn drop(&mut self) {
        if let (true, BytePosition::Whole(marks)) = (self.is_complete(), &self.place) {
            self.viewing.mark(*marks);
        }
        let cut = !self.is_complete() && !self.failed && self.sent > 0;
        if self.is_tracked {
            self.viewing.ended(cut);
        }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[derive(Default)]
struct State {
    /// Bytes that the socket took.
    written: u64,
    /// Bytes of clips that the server took, and how many of them the socket did.
    handed: u64,
    sent: u64,
    running: Option<Answer>,
}

/// One connection's meter, shared by its socket and its answers' bodies. An
/// answer that is still running when the connection ends was cut off.
#[derive(Clone, Default)]
pub struct Meter(Arc<Mutex<State>>);

impl Meter {
    /// The server took the first bytes of `answer`: the one before it is over.
    /// Whether they are all is in `ended`.
    pub fn begin(&self, mut answer: Answer, bytes: u64, ended: bool) {
        answer.handed = bytes;
        answer.ended = ended;
        let before = {
            let mut state = self.0.lock();
            state.handed += bytes;
            state.running.replace(answer)
        };
        drop(before);
    }

    /// The server took more bytes of the running answer; the last ones if it
    /// has `ended`.
    pub fn handed(&self, bytes: u64, ended: bool) {
        let mut state = self.0.lock();
        state.handed += bytes;
        if let Some(answer) = &mut state.running {
            answer.handed += bytes;
            answer.ended = ended;
        }
    }

    /// The running answer has no more bytes; if it `failed`, not all it should.
    pub fn ended(&self, failed: bool) {
        let done = {
            let mut state = self.0.lock();
            if let Some(answer) = &mut state.running {
                answer.ended = true;
                answer.failed = failed;
            }
            state.running.take_if(|answer| answer.is_complete())
        };
        drop(done);
    }

    /// Of `offered` bytes, which is all that the server holds, the socket took
    /// `taken`.
    pub fn wrote(&self, offered: u64, taken: u64) {
        let done = {
            let state = &mut *self.0.lock();
            let others = (state.written + offered).saturating_sub(state.handed);
            state.written += taken;
            let sent = state.written.saturating_sub(others).min(state.handed);
            let more = sent.saturating_sub(state.sent);
            state.sent += more;
            if let Some(answer) = state.running.as_mut().filter(|_| more > 0) {
                answer.sent(more);
            }
            state.running.take_if(|answer| answer.is_complete())
        };
        drop(done);
    }
}
