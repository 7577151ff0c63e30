//! The source's bytes into the local copy.
//!
//! The first request is a plain one for all of it, and its answer is read on
//! until the rest comes otherwise. So a URL that works once is enough, and so is
//! a source that refuses ranges. Where the source says that it has pieces, what
//! viewers wait for is asked for beside it, and the half of a long rest, too.
//! What breaks off is gone on with by a range of the same version; where that
//! is refused, by another plain request. Bytes of two versions are never
//! spliced: a version that cannot be gone on with is started over.
//!
//! - `ask` gets the answer that is read on: the ladder.
//! - `pool` reads it on, and asks for pieces beside it while the source allows.
//! - `flow` is one request that is on its way.
//! - `show` tells viewers what there will be.

mod ask;
mod pending;
mod pool;
mod show;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::Poll,
    time::Duration,
};

use clipkeep_core::{
    backoff,
    secret::SourceUrl,
    verdict::{Verdict, Why},
    version::SourceVersion,
};
use tokio::time::Instant;

use self::pool::FetchOutcome;
use super::{
    Inner,
    attempt::Ongoing,
    local::{LocalCopy, Opened, Writer},
    task::FillError,
};
use crate::{catalog::Claim, source::SourceError};

/// Requests in a row that may bring no byte before the attempt gives up.
const MAX_FRUITLESS_REQUESTS: u32 = 3;
/// Of so many bytes that are read one must be new.
const MAX_READ_PER_NEW_BYTE: u64 = 8;
/// Versions in a row before the attempt gives up on a source that keeps changing.
const MAX_VERSION_CHANGES: u32 = 3;
/// So many pieces that came show that the URL can be asked again and again.
const PIECES_TO_TRUST_RANGES: u32 = 3;

/// What requests brought before they failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Nothing,
    New,
    /// Little but what was here: each request reads all of it again, so the next one
    /// waits as long as the next attempt does.
    Known,
}

/// One fill's download.
struct Fetch<'a> {
    inner: &'a Inner,
    ongoing: &'a Ongoing,
    claim: &'a Claim,
    copy: &'a Arc<LocalCopy>,
    /// What is asked for: the clip's source, or the same URL, signed.
    url: SourceUrl,
    host: String,
    /// The epoch of the version that is copied.
    epoch: i64,
    versions: u32,
    fruitless: u32,
    /// Whether an answer of another length was passed over already.
    doubted: bool,
    /// How many pieces were answered.
    pieces: AtomicU32,
}

/// Brings all of the source into the copy.
pub(super) async fn fetch(inner: &Inner, ongoing: &Ongoing, copy: &Arc<LocalCopy>) -> Result<(), FillError> {
    let claim = &ongoing.claim;
    // What an earlier attempt left came in pieces, and no more than what lacks is asked for.
    let is_resumed = copy.opened().is_some_and(|opened| opened.ranges);
    let mut fetch = Fetch {
        inner,
        ongoing,
        claim,
        copy,
        url: claim.clip.source_url.clone(),
        host: host_of(&claim.clip.source_url),
        epoch: claim.clip.epoch,
        versions: 0,
        fruitless: 0,
        doubted: false,
        pieces: AtomicU32::new(if is_resumed { PIECES_TO_TRUST_RANGES } else { 0 }),
    };
    loop {
        let mut show = std::pin::pin!(show::follow(inner, claim, copy));
        let failed = tokio::select! {
            all = fetch.all() => {
                let total = all?;
                tokio::select! {
                    // Whoever waits for a copy that is complete waits for no end.
                    () = copy.until_shown() => return Ok(copy.complete(total).await?),
                    failed = show => failed,
                }
            }
            failed = &mut show => failed,
        };
        match failed {
            FillError::Source(error) => fetch.failed(error, Progress::Nothing).await?,
            error => return Err(error),
        }
    }
}

impl Fetch<'_> {
    /// Brings all of it, whatever fails for now; answers how much that is.
    async fn all(&mut self) -> Result<u64, FillError> {
        // An attempt that was cut off later left all of it: there is nothing to ask for.
        if let Some(total) = self.copy.opened().and_then(|opened| opened.total.filter(|total| *total > 0))
            && self.copy.gap(0..total).is_none()
        {
            return Ok(total);
        }
        loop {
            let (before, read, request_mode) = (self.copy.sum(), self.ongoing.read(), self.copy.request_mode());
            let flown = self.go_on().await;
            let progress = self.progress(before, read);
            let error = match flown {
                Ok((FetchOutcome::All, opened)) => return Ok(opened.total.unwrap_or_else(|| self.copy.len())),
                Ok((FetchOutcome::Part(_), _)) if progress == Progress::New => continue,
                // What was refused is asked for in another way.
                Ok((FetchOutcome::Part(_), _))
                    if progress == Progress::Nothing && self.copy.request_mode() != request_mode =>
                {
                    continue;
                }
                Ok((FetchOutcome::Part(error), _)) => error.unwrap_or_else(SourceError::late),
                Err(FillError::Source(error)) => error,
                Err(error) => return Err(error),
            };
            self.failed(error, progress).await?;
        }
    }

    /// Goes on from where the copy is, to the end or to the next failure.
    async fn go_on(&mut self) -> Result<(FetchOutcome, Opened), FillError> {
        let (main, opened) = self.main().await?;
        Ok((self.run_requests(&opened, main).await?, opened))
    }

    /// What came since `read` bytes were read and `before` of them were here.
    fn progress(&self, before: u64, read: u64) -> Progress {
        let (read, new) = (self.ongoing.read() - read, self.copy.sum().saturating_sub(before));
        match read {
            0 => Progress::Nothing,
            _ if new > 0 && new >= read / MAX_READ_PER_NEW_BYTE => Progress::New,
            _ => Progress::Known,
        }
    }

    /// Whether the URL was answered often enough to be asked as often as need be.
    fn is_proven(&self) -> bool {
        self.pieces.load(Ordering::Relaxed) >= PIECES_TO_TRUST_RANGES
    }

    fn too_large(&self) -> FillError {
        let max = self.inner.parts.settings.max_clip_size;
        FillError::Unacceptable(format!("the source is larger than {max} bytes (max_clip_size)"))
    }

    /// A chunk on its way into the copy.
    async fn land(&self, writer: &mut Writer, chunk: bytes::Bytes) -> Result<(), FillError> {
        self.inner.parts.metrics.source_read(chunk.len() as u64);
        if self.claim.backlog {
            self.inner.rate_limit.pass(chunk.len() as u64, self.copy).await;
        }
        self.ongoing.count(chunk.len() as u64);
        if writer.at() + chunk.len() as u64 > self.inner.parts.settings.max_clip_size {
            return Err(self.too_large());
        }
        Ok(writer.write(chunk).await?)
    }

    /// After a failure: waits for the next try, starts over, or gives up.
    async fn failed(&mut self, error: SourceError, progress: Progress) -> Result<(), FillError> {
        self.fruitless = match progress {
            Progress::New => 0,
            Progress::Nothing => self.fruitless + 1,
            Progress::Known => MAX_FRUITLESS_REQUESTS,
        };
        match error.verdict() {
            Verdict::Changed => self.start_over(error).await,
            Verdict::Retry { after, .. } if self.copy.sum() > 0 && self.fruitless < MAX_FRUITLESS_REQUESTS => {
                self.copy.persist().await?;
                let settings = &self.inner.parts.settings;
                let pause = backoff::delay(self.fruitless, settings.retry_base, settings.retry_max, random());
                tokio::time::sleep(pause.max(after.unwrap_or(Duration::ZERO))).await;
                Ok(())
            }
            _ => Err(error.into()),
        }
    }

    /// The source is another version now: what was read of the old one is not
    /// served any more, and the new one has an epoch of its own, which is durable
    /// before the copy is opened for it.
    async fn start_over(&mut self, error: SourceError) -> Result<(), FillError> {
        self.copy.reset().await?;
        self.raise_epoch(error).await
    }

    async fn raise_epoch(&mut self, error: SourceError) -> Result<(), FillError> {
        self.versions += 1;
        if self.versions >= MAX_VERSION_CHANGES {
            return Err(error.into());
        }
        let parts = &self.inner.parts;
        self.epoch = parts.catalog.raise_epoch(&self.claim.lease, parts.clock.now(), Why::Changed.as_str()).await?;
        Ok(())
    }
}

/// Reads the next chunk. Bytes that wait in the writer are handed to readers
/// as soon as the source makes a pause: any, if a viewer waits for them.
async fn next_chunk(
    body: &mut crate::source::SourceBody,
    writer: &mut Writer,
) -> Result<Option<bytes::Bytes>, FillError> {
    /// A pause as short as this is none.
    const PAUSE: Duration = Duration::from_millis(2);
    let mut next = std::pin::pin!(body.next());
    if writer.is_behind() {
        if let Poll::Ready(chunk) = futures_util::poll!(next.as_mut()) {
            return Ok(chunk?);
        }
        if writer.is_waited_for() {
            writer.flush().await?;
            return Ok(next.await?);
        }
        let until = Instant::now() + PAUSE;
        match tokio::time::timeout_at(until, next.as_mut()).await {
            Ok(chunk) => return Ok(chunk?),
            Err(_) => writer.flush().await?,
        }
    }
    Ok(next.await?)
}

/// The host whose connections are counted.
pub(super) fn host_of(url: &SourceUrl) -> String {
    let url = url::Url::parse(url.expose()).ok();
    url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// Whether `version` is the one at hand; an unknown one is not.
fn is_same(held: Option<&SourceVersion>, version: &SourceVersion) -> bool {
    held.is_some_and(|held| clipkeep_core::version::same_version(held, version))
}

/// A number in 0..1 for jitter.
pub(crate) fn random() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness there is no jitter: delays are then all at their middle.
    match ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}
