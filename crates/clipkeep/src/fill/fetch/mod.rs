//! The source's bytes into the local copy: in pieces over a few connections
//! where the source allows, in one stream where not; resumed after a drop,
//! started over when the source became another version, never spliced from two.

mod pieces;
mod show;
mod stream;

use std::{sync::Arc, task::Poll, time::Duration};

use clipkeep_core::{
    backoff,
    secret::SourceUrl,
    verdict::{Verdict, Why},
    version::SourceVersion,
};
use tokio::time::Instant;

use super::{
    Inner,
    attempt::Ongoing,
    local::{LocalCopy, Opened, Writer},
    task::FillError,
};
use crate::{
    catalog::Claim,
    source::{Piece, SourceError, SourceResponse},
};

/// Requests in a row that may bring no byte before the attempt gives up.
const FRUITLESS: u32 = 3;
/// Versions in a row before the attempt gives up on a source that keeps changing.
const VERSIONS: u32 = 3;
/// How much is asked for in a version's first requests.
const FIRST_PIECE: u64 = 512 * 1024;
/// The least and the most that is asked for in one request.
const PIECE: std::ops::RangeInclusive<u64> = 256 * 1024..=4 * 1024 * 1024;
/// How long a request should take: as long as a viewer may have to wait whose
/// bytes are at its end.
const PIECE_TIME: Duration = Duration::from_millis(250);
/// What is there is made to survive a kill after so many new bytes.
const PERSIST: u64 = 8 * 1024 * 1024;

/// One fill's download.
struct Fetch<'a> {
    inner: &'a Inner,
    ongoing: &'a Ongoing,
    claim: &'a Claim,
    copy: &'a Arc<LocalCopy>,
    host: String,
    /// The epoch of the version that is copied.
    epoch: i64,
    versions: u32,
    fruitless: u32,
}

/// Brings all of the source into the copy.
pub(super) async fn fetch(inner: &Inner, ongoing: &Ongoing, copy: &Arc<LocalCopy>) -> Result<(), FillError> {
    let claim = &ongoing.claim;
    let mut fetch = Fetch {
        inner,
        ongoing,
        claim,
        copy,
        host: host_of(&claim.clip.source_url),
        epoch: claim.clip.epoch,
        versions: 0,
        fruitless: 0,
    };
    loop {
        let before = copy.sum();
        let error = match fetch.go_on().await {
            Ok(()) => return Ok(()),
            Err(FillError::Source(error)) => error,
            Err(error) => return Err(error),
        };
        fetch.failed(error, copy.sum() > before).await?;
    }
}

impl Fetch<'_> {
    /// Goes on from where the copy is, to the end or to the next failure.
    async fn go_on(&mut self) -> Result<(), FillError> {
        match self.copy.opened() {
            Some(opened) if opened.ranges => self.pieces(&opened, None).await,
            Some(opened) => self.stream(Some(&opened.version)).await,
            None => self.begin().await,
        }
    }

    /// The first request of a version asks for a first piece: the answer tells
    /// whether the source has pieces to give.
    async fn begin(&mut self) -> Result<(), FillError> {
        let first = Piece { from: 0, to: Some(FIRST_PIECE), if_range: None };
        let permit = self.inner.caps.acquire(&self.host).await;
        let answer = match self.ask(Some(&first)).await {
            // No such range, or no total: it may still have a whole to give.
            Err(error) if error.verdict() == Verdict::Changed => None,
            answer => Some(answer?),
        };
        if let Some(answer) = answer {
            if answer.is_part && answer.total.is_some() && answer.version.if_range().is_some() {
                let opened = self.open(&answer, true).await?;
                return self.pieces(&opened, Some((answer, permit))).await;
            }
            if !answer.is_part || answer.total.is_some_and(|total| total <= FIRST_PIECE) {
                let opened = self.open(&answer, false).await?;
                self.show(&opened).await?;
                return self.pour(answer).await;
            }
            // It gives pieces, but cannot prove that two are of one version.
        }
        drop(permit);
        self.stream(None).await
    }

    async fn ask(&self, piece: Option<&Piece>) -> Result<SourceResponse, SourceError> {
        self.inner.parts.source.get(&self.claim.clip.source_url, piece).await
    }

    /// Readies the copy for what there will be.
    async fn open(&self, answer: &SourceResponse, ranges: bool) -> Result<Opened, FillError> {
        if answer.total.is_some_and(|total| total > self.inner.parts.settings.max_clip_size) {
            return Err(self.too_large());
        }
        let opened = Opened { epoch: self.epoch, version: answer.version.clone(), total: answer.total, ranges };
        self.copy.open(opened.clone()).await?;
        Ok(opened)
    }

    fn too_large(&self) -> FillError {
        let max = self.inner.parts.settings.max_clip_size;
        FillError::Unacceptable(format!("the source is larger than {max} bytes (max_clip_size)"))
    }

    /// A chunk on its way into the copy.
    async fn land(&self, writer: &mut Writer, chunk: bytes::Bytes) -> Result<(), FillError> {
        self.inner.parts.metrics.source_read(chunk.len() as u64);
        if self.claim.backlog {
            self.inner.pace.pass(chunk.len() as u64, self.copy).await;
        }
        self.ongoing.count(chunk.len() as u64);
        if writer.at() + chunk.len() as u64 > self.inner.parts.settings.max_clip_size {
            return Err(self.too_large());
        }
        Ok(writer.write(chunk).await?)
    }

    /// After a failure: waits for the next try, starts over, or gives up.
    async fn failed(&mut self, error: SourceError, progress: bool) -> Result<(), FillError> {
        self.fruitless = if progress { 0 } else { self.fruitless + 1 };
        match error.verdict() {
            Verdict::Changed => self.start_over(error).await,
            Verdict::Retry { after, .. } if self.copy.sum() > 0 && self.fruitless < FRUITLESS => {
                self.copy.persist().await?;
                let settings = &self.inner.parts.settings;
                let pause = backoff::delay(self.fruitless, settings.retry_base, settings.retry_max, random());
                tokio::time::sleep(pause.max(after.unwrap_or(Duration::ZERO))).await;
                Ok(())
            }
            _ => Err(error.into()),
        }
    }

    /// The source is another version now: a new epoch, durable first, then an
    /// empty copy. What was read of the old version is not served any more.
    async fn start_over(&mut self, error: SourceError) -> Result<(), FillError> {
        self.versions += 1;
        if self.versions >= VERSIONS {
            return Err(error.into());
        }
        let parts = &self.inner.parts;
        self.epoch = parts.catalog.raise_epoch(&self.claim.lease, parts.clock.now(), Why::Changed.as_str()).await?;
        self.copy.reset().await?;
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
