//! How long a connection may stand still. One timer per connection, set again
//! only when it fires or comes too late: not with every read and write.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For a request's head, once it began.
    pub(super) head: Duration,
    /// For a request to begin.
    pub(super) idle: Duration,
    /// For a client to read.
    pub(super) send: Duration,
}

/// A connection's timer.
#[derive(Default)]
pub(super) struct IdleTimer(Option<Pin<Box<Sleep>>>);

impl IdleTimer {
    /// Whether `deadline` is over. If not, the task is woken then, or before.
    pub(super) fn is_over(&mut self, cx: &mut Context<'_>, deadline: Instant) -> bool {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx) == Poll::Ready(()) {
            if Instant::now() >= deadline {
                return true;
            }
            timer.as_mut().reset(deadline);
        }
        false
    }
}
