//! A source's bytes, held to what its head promised.

use std::time::Duration;

use bytes::Bytes;
use clipkeep_core::verdict::Why;
use reqwest::Response;
use tokio::time::Instant;

use super::SourceError;

/// Fewer bytes than this within one stall timeout is a trickle: as good as a
/// stall, and a way to hold a fill for ever.
const TRICKLE: u64 = 1024;

/// The rest of an answer. It ends cleanly only when all that was promised came.
#[derive(Debug)]
pub struct SourceBody {
    response: Response,
    /// What is still to come, if that was said.
    left: Option<u64>,
    stall_timeout: Duration,
    /// Since when, and how much came: for the trickle.
    window: (Instant, u64),
}

impl SourceBody {
    pub(super) fn new(response: Response, promised: Option<u64>, stall_timeout: Duration) -> Self {
        Self { response, left: promised, stall_timeout, window: (Instant::now(), 0) }
    }

    /// The next bytes; none at the end. Dropping the future loses nothing but
    /// the connection.
    ///
    /// # Errors
    /// If the source stalls, trickles, breaks off, ends short of what it
    /// promised, or goes on past it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        let chunk = match tokio::time::timeout(self.stall_timeout, self.response.chunk()).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(_)) => return Err(SourceError::retry("the source broke off", Why::Cut)),
            Err(_) => return Err(SourceError::retry("the source stalled", Why::Stalled)),
        };
        let Some(chunk) = chunk else {
            return match self.left {
                None | Some(0) => Ok(None),
                Some(_) => Err(SourceError::retry("the source ended before its promised length", Why::Cut)),
            };
        };
        let len = chunk.len() as u64;
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(len)
                .ok_or_else(|| SourceError::retry("the source sent more than it promised", Why::TooLong))?;
        }
        self.watch_for_trickle(len)?;
        Ok(Some(chunk))
    }

    fn watch_for_trickle(&mut self, len: u64) -> Result<(), SourceError> {
        let (since, came) = &mut self.window;
        *came += len;
        if since.elapsed() < self.stall_timeout {
            return Ok(());
        }
        // The last bytes of a clip may be few.
        let trickles = *came < TRICKLE && self.left != Some(0);
        self.window = (Instant::now(), 0);
        if trickles { Err(SourceError::retry("the source only trickles", Why::Stalled)) } else { Ok(()) }
    }
}
