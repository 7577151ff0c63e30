//! A connection that sends large pieces of mapped files with `sendfile`.
//!
//! The HTTP server writes what it has as a list of slices: a response's head,
//! then the clip's bytes. Small lists go out in one `writev`. A large slice that
//! is a piece of a mapped file never passes through this process: the kernel
//! sends it from the page cache.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::{
    fs::sendfile,
    net::{SendAncillaryBuffer, SendFlags, sendmsg},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

use crate::{cache::mmap::file_behind, usage::Meter};

/// From here on a system call more costs less than a copy.
const LARGE: usize = 1 << 20;
/// How much goes out before other connections have their turn.
const TURN: usize = 2 << 20;

pub(super) struct Wire {
    stream: TcpStream,
    meter: Meter,
}

impl Wire {
    pub(super) const fn new(stream: TcpStream, meter: Meter) -> Self {
        Self { stream, meter }
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
        let large = slices.iter().position(|slice| slice.len() >= LARGE);
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
        let len = slices[at].len().min(TURN);
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
        let sent = ready!(self.poll_send(cx, slices))?;
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
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}
