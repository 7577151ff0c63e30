//! A connection that sends large pieces of mapped files with `sendfile`.
//!
//! The HTTP server writes what it has as a list of slices: a response's head,
//! then the clip's bytes. Small lists go out in one `writev`. A large slice that
//! is a piece of a mapped file never passes through this process: the kernel
//! sends it from the page cache.

use std::{
    io::{self, IoSlice},
    os::fd::AsRawFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::{
    fs::sendfile,
    net::{SendAncillaryBuffer, SendFlags, sendmsg},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use super::{
    slots::ConnectionState,
    timer::{IdleTimer, Timeouts},
};
use crate::{cache::mmap::file_behind, usage::Meter};

/// From here on a system call more costs less than a copy.
const SENDFILE_FROM: usize = 1 << 20;
/// How much goes out before other connections have their turn.
const MAX_SEND_PER_POLL: usize = 2 << 20;
/// How long a client may go on sending what nobody reads, and how long it may make
/// a pause in it. nginx waits so long, too.
const LINGER_TIMEOUT: Duration = Duration::from_secs(30);
const LINGER_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Wire {
    stream: TcpStream,
    meter: Meter,
    connection: Arc<ConnectionState>,
    timeouts: Timeouts,
    patience: IdleTimer,
    /// While nothing can be written.
    stalled: Option<Stall>,
    /// Whether the client closed its side, and waits.
    is_closed: bool,
    /// Since when a request is waited for, and whether it began to come.
    waits: Option<(Instant, bool)>,
    /// Since our side is closed: when that was, and until when something is to come.
    lingers: Option<(Instant, Instant)>,
}

/// A time in which nothing can be written. A slow client may need long to make
/// room for more: whether it reads shows by what of the sent it has taken.
struct Stall {
    /// When it last took something.
    since: Instant,
    /// When to look again.
    next: Instant,
    /// How much it had not taken then.
    unread: Option<u32>,
    reads: bool,
}

impl Stall {
    fn new(now: Instant, step: Duration) -> Self {
        Self { since: now, next: now + step, unread: None, reads: true }
    }

    fn look(&mut self, unread: u32, step: Duration) {
        self.reads = self.unread.is_none_or(|before| unread < before);
        if self.reads && self.unread.is_some() {
            self.since = self.next;
        }
        self.unread = Some(unread);
        self.next += step;
    }
}

/// How many of the bytes that were sent the client has not acknowledged.
fn unread(stream: &TcpStream) -> u32 {
    let mut bytes: libc::c_int = 0;
    #[expect(unsafe_code, reason = "this ioctl has no safe face")]
    // SAFETY: the descriptor is the stream's own, and TIOCOUTQ writes one int.
    let done = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if done == 0 { bytes.unsigned_abs() } else { 0 }
}

impl Wire {
    pub(super) fn new(stream: TcpStream, meter: Meter, connection: Arc<ConnectionState>, timeouts: Timeouts) -> Self {
        Self {
            stream,
            meter,
            connection,
            timeouts,
            patience: IdleTimer::default(),
            stalled: None,
            is_closed: false,
            waits: None,
            lingers: None,
        }
    }

    /// Lets a client finish that sends a body of which nobody reads more. Many send
    /// all before they read: closed at once, the connection would be reset, and the
    /// answer that says why be lost with it (RFC 9112, section 9.6).
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = Instant::now();
        let (closed, mut until) = *self.lingers.get_or_insert((now, now + LINGER_PAUSE));
        let mut unwanted = [0; 16 * 1024];
        loop {
            let mut buf = ReadBuf::new(&mut unwanted);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut buf);
            if read.is_pending() {
                let until = until.min(closed + LINGER_TIMEOUT);
                return if self.patience.is_over(cx, until) { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            let now = Instant::now();
            if buf.filled().is_empty() || now > closed + LINGER_TIMEOUT {
                return Poll::Ready(Ok(()));
            }
            until = now + LINGER_PAUSE;
            self.lingers = Some((closed, until));
        }
    }

    /// The client took bytes, or did not; whether it has not for too long.
    fn judge_write(&mut self, cx: &mut Context<'_>, is_pending: bool) -> io::Result<()> {
        if !is_pending {
            self.waits = None;
            if self.stalled.take().is_some() {
                self.connection.flows();
            }
            return Ok(());
        }
        let step = self.timeouts.send / 4;
        let stall = self.stalled.get_or_insert_with(|| Stall::new(Instant::now(), step));
        while self.patience.is_over(cx, stall.next) {
            stall.look(unread(&self.stream), step);
            match stall.reads {
                true => self.connection.flows(),
                false if stall.next - stall.since > self.timeouts.send => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read (send_timeout)"));
                }
                false => self.connection.is_stalled(),
            }
        }
        Ok(())
    }

    /// Nothing came; whether it has not for too long. Only while no request is
    /// being answered: its body has a timeout of its own.
    fn judge_silence(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.connection.is_answering() || self.stalled.is_some() {
            self.waits = None;
            return Ok(());
        }
        let (since, began) = *self.waits.get_or_insert_with(|| {
            self.connection.is_idle();
            (Instant::now(), false)
        });
        let timeout = if began { self.timeouts.head } else { self.timeouts.idle };
        match self.patience.is_over(cx, since + timeout) {
            true => Err(io::Error::new(io::ErrorKind::TimedOut, "no request comes (keep_alive)")),
            false => Ok(()),
        }
    }

    /// Tries `write` whenever the socket takes bytes, until it takes some.
    fn poll_socket(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut() -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.stream.try_io(Interest::WRITABLE, || Ok(write()?)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let large = slices.iter().position(|slice| slice.len() >= SENDFILE_FROM);
        let Some((at, file, offset)) = large.and_then(|at| file_behind(&slices[at]).map(|(file, o)| (at, file, o)))
        else {
            return Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        };
        if at > 0 {
            // What comes before it, with the promise of more: one packet.
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
            return self
                .poll_socket(cx, || sendmsg(&self.stream, &slices[..at], &mut SendAncillaryBuffer::default(), flags));
        }
        let len = slices[at].len().min(MAX_SEND_PER_POLL);
        match ready!(self.poll_socket(cx, || sendfile(&self.stream, &*file, Some(&mut offset.clone()), len)))? {
            // The file became shorter than it was: never a clean end.
            0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            sent => Poll::Ready(Ok(sent)),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = self.poll_send(cx, slices);
        self.judge_write(cx, sent.is_pending())?;
        let sent = ready!(sent)?;
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        self.meter.wrote(offered as u64, sent as u64);
        Poll::Ready(Ok(sent))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // From here on a request is waited for. The server may have asked for it
        // before the answer was ready, and does not ask again before it comes.
        self.judge_silence(cx)?;
        if self.is_closed && self.waits.is_some() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingers.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            // Its place is anybody's who needs one.
            self.connection.is_idle();
        }
        match self.connection.has_body() && !self.is_closed {
            true => self.poll_linger(cx),
            false => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let is_end = matches!(read, Poll::Ready(Ok(()))) && buf.filled().len() == before && buf.remaining() > 0;
        if is_end && (self.connection.waits() || self.stalled.is_some()) {
            // The server would take this for the end of the connection: which
            // comes when the answer is gone.
            self.is_closed = true;
            return Poll::Pending;
        }
        match &mut self.waits {
            _ if read.is_pending() => self.judge_silence(cx)?,
            Some((since, began @ false)) => (*since, *began) = (Instant::now(), true),
            _ => {}
        }
        read
    }
}
