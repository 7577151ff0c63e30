//! A source's bytes, held to what its head promised.

use std::time::Duration;

use bytes::Bytes;
use clipkeep_core::verdict::{Promise, Verdict, Why};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use super::SourceError;

/// Fewer bytes than this within one stall timeout is a trickle: as good as a
/// stall, and a way to hold a fill for ever.
const TRICKLE: u64 = 1024;

/// The bytes of an answer. After an error it has no more to give: drop it.
#[derive(Debug)]
pub struct SourceBody {
    incoming: Incoming,
    /// The offset in the whole of what comes next.
    at: u64,
    promise: Promise,
    /// Where what was asked for ends, if not with the whole.
    to: Option<u64>,
    pace: Pace,
}

impl SourceBody {
    pub(super) fn new(incoming: Incoming, promise: Promise, to: Option<u64>, stall_timeout: Duration) -> Self {
        let pace = Pace { stall_timeout, waited: Duration::ZERO, came: 0 };
        Self { incoming, at: promise.start, promise, to, pace }
    }

    /// The next bytes, a read buffer's worth at most; `None` at the end. Where
    /// the source named a length, `None` comes only after all of the whole up
    /// to it; a shorter part ends in `cut`, to be resumed. Only the time spent
    /// in here counts against the source, so a slow reader is no stall.
    /// Dropping the future loses no bytes.
    ///
    /// # Errors
    /// If the source stalls or trickles, breaks off, gives no byte at all, or
    /// goes on past what it promised.
    pub async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        let began = Instant::now();
        let chunk = match timeout(self.pace.stall_timeout, self.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return self.end().map(|()| None),
            Ok(Err(_)) => return Err(SourceError::retry("the source broke off", Why::Cut)),
            Err(_) => return Err(SourceError::retry("the source stalled", Why::Stalled)),
        };
        let len = chunk.len() as u64;
        self.at += len;
        if self.promise.end.is_some_and(|end| self.at > end) {
            return Err(SourceError::retry("the source sent more than it promised", Why::WrongLength));
        }
        self.pace.note(began.elapsed(), len)?;
        Ok(Some(chunk))
    }

    /// The next bytes as they come; trailers tell nothing that is asked for.
    async fn chunk(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        while let Some(frame) = self.incoming.frame().await {
            if let Ok(bytes) = frame?.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    fn end(&self) -> Result<(), SourceError> {
        if self.at == 0 {
            return Err(SourceError::new("the source is empty", Verdict::Missing(Why::Empty)));
        }
        let all = self.promise.end.max(self.promise.total);
        let wanted = self.to.map_or(all, |to| Some(all.map_or(to, |all| to.min(all))));
        if wanted.is_some_and(|end| self.at < end) {
            return Err(SourceError::retry("the source ended before the clip did", Why::Cut));
        }
        Ok(())
    }
}

/// How fast a source gives, over windows of one stall timeout of waiting.
#[derive(Debug)]
struct Pace {
    stall_timeout: Duration,
    waited: Duration,
    came: u64,
}

impl Pace {
    fn note(&mut self, waited: Duration, came: u64) -> Result<(), SourceError> {
        self.waited += waited;
        self.came += came;
        if self.waited < self.stall_timeout {
            return Ok(());
        }
        let trickles = self.came < TRICKLE;
        (self.waited, self.came) = (Duration::ZERO, 0);
        if trickles { Err(SourceError::retry("the source only trickles", Why::Stalled)) } else { Ok(()) }
    }
}
