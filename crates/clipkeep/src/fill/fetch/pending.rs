//! One request that is on its way.

use std::{
    ops::Range,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::{Fetch, ask::Main, is_same, next_chunk};
use crate::{
    fill::{
        limits::Permit,
        local::{Opened, PendingRange},
        task::FillError,
    },
    source::{Piece, SourceError, SourceResponse},
};

/// A viewer who stands still waits so long for an answer that is read already
/// before his bytes are asked for by themselves.
const MAX_ANSWER_WAIT: f64 = 0.25;
/// And so long for one that will have brought everything by then.
const MAX_REST_WAIT: f64 = 1.0;
/// The same if there is not much left.
const MAX_SMALL_REST_WAIT: f64 = 5.0;
/// What is not much.
const SMALL_REST: u64 = 4 * 1024 * 1024;
/// What is so near is soon here, whatever the pace.
const NEAR_ENOUGH: u64 = 64 * 1024;
/// A pace that was measured for less says little.
const MIN_MEASURED_TIME: Duration = Duration::from_millis(10);
/// A small clip of a fast source is here by then.
const FIRST_MOMENT: Duration = Duration::from_millis(20);
/// Before that it may still be anything.
const BEGINNING: Duration = Duration::from_millis(100);
/// After so long its pace is that of an answer.
const STEADY_TIME: Duration = Duration::from_secs(1);
/// How long a piece may go unanswered while another answer runs. Some sources
/// hold a second request until the first is over.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a request is, and up to where it goes.
pub(super) struct PendingRequest {
    from: AtomicU64,
    /// Up to where readers have it.
    landed: AtomicU64,
    /// Up to where it was read.
    read: AtomicU64,
    end: AtomicU64,
    /// Whether it goes on for long: viewers ask for what it does not bring soon.
    is_long: bool,
    answered: OnceLock<Instant>,
}

/// How a request ended.
pub(super) enum End {
    /// All of it came.
    Landed,
    /// The source ended, where nobody knew before.
    OfAll,
    /// The source gave the whole instead: it has no pieces after all.
    NoPieces,
}

impl PendingRequest {
    pub(super) fn new(range: Range<u64>, is_long: bool) -> Self {
        let at = || AtomicU64::new(range.start);
        Self {
            from: at(),
            landed: at(),
            read: at(),
            end: AtomicU64::new(range.end),
            is_long,
            answered: OnceLock::new(),
        }
    }

    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Relaxed)
    }

    pub(super) fn stop_at(&self, end: u64) {
        self.end.store(end, Ordering::Relaxed);
    }

    /// Its answer is here.
    pub(super) fn answered(&self) {
        let _ = self.answered.set(Instant::now());
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered.get().is_some()
    }

    /// How much it brought.
    pub(super) fn received(&self) -> u64 {
        self.landed.load(Ordering::Relaxed) - self.from.load(Ordering::Relaxed)
    }

    /// How long it was read.
    pub(super) fn took(&self) -> Duration {
        self.answered.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// Bytes a second.
    fn pace(&self) -> f64 {
        let came = self.read() - self.from.load(Ordering::Relaxed);
        came as f64 / self.took().max(MIN_MEASURED_TIME).as_secs_f64()
    }

    /// What it will bring.
    pub(super) fn pending(&self) -> PendingRange {
        let range = self.landed.load(Ordering::Relaxed)..self.end();
        let ahead = |secs: f64| self.read().saturating_add(NEAR_ENOUGH.max((self.pace() * secs) as u64)).min(range.end);
        let (soon, in_time) = match (self.is_long, self.is_answered()) {
            (false, _) => (range.end, range.end),
            (true, false) => (range.start, range.start),
            (true, true) if self.is_new_and_small() => (range.end, range.end),
            (true, true) if self.is_here_in_time() => (ahead(MAX_ANSWER_WAIT), range.end),
            (true, true) => (ahead(MAX_ANSWER_WAIT), ahead(MAX_ANSWER_WAIT)),
        };
        PendingRange { range, soon, in_time }
    }

    /// Whether it may be here before anything can be told of its pace.
    fn is_new_and_small(&self) -> bool {
        self.took() < FIRST_MOMENT && self.end().saturating_sub(self.read()) <= SMALL_REST
    }

    /// Whether it is better waited for to its end than broken off: what is on its
    /// way would be read in vain, and of a small clip that is much.
    fn is_here_in_time(&self) -> bool {
        let left = self.end().saturating_sub(self.read());
        if left > SMALL_REST {
            return left as f64 <= self.pace() * MAX_REST_WAIT;
        }
        self.took() < BEGINNING || left as f64 <= self.pace() * MAX_SMALL_REST_WAIT
    }

    /// How long it will take to its end, if that can be told already.
    pub(super) fn left(&self) -> Duration {
        let left = self.end().saturating_sub(self.read()) as f64 / self.pace().max(1.0);
        let is_told = self.is_long && self.took() >= STEADY_TIME;
        if is_told { Duration::from_secs_f64(left.min(1e9)) } else { Duration::ZERO }
    }
}

impl Fetch<'_> {
    /// Reads on the answer that is there.
    pub(super) async fn read_on(
        &self,
        opened: &Opened,
        main: Main,
        request: &PendingRequest,
    ) -> Result<End, FillError> {
        let Main { answer, permit: _permit, .. } = main;
        let is_at_end = self.pour(answer, request).await?;
        Ok(if is_at_end && opened.total.is_none() { End::OfAll } else { End::Landed })
    }

    /// Asks for a piece beside another request, and reads it.
    pub(super) async fn piece(
        &self,
        opened: &Opened,
        permit: Option<Permit>,
        request: &PendingRequest,
        is_alone: bool,
    ) -> Result<End, FillError> {
        let _permit = match permit {
            Some(permit) => Some(permit),
            None => self.inner.connection_limits.acquire(&self.host).await,
        };
        // While it had no permit, others may have brought it.
        let Some(range) = self.copy.gap(request.read()..request.end()) else { return Ok(End::Landed) };
        [&request.from, &request.landed, &request.read]
            .into_iter()
            .for_each(|at| at.store(range.start, Ordering::Relaxed));
        request.stop_at(range.end);
        // Without `If-Range`: what would come of another version is let go, and
        // a part of it is less than its whole. The part's own head says of which
        // version it is.
        let piece = Piece { from: range.start, to: Some(range.end), if_range: None };
        let ask = self.inner.parts.source.get(&self.url, Some(&piece));
        let answer = if is_alone {
            ask.await?
        } else {
            timeout(ANSWER_TIMEOUT, ask).await.map_err(|_| SourceError::late())??
        };
        if !is_same(Some(&opened.version), &answer.version) {
            return Err(SourceError::changed().into());
        }
        if !answer.is_part {
            return Ok(End::NoPieces);
        }
        request.answered();
        self.pieces.fetch_add(1, Ordering::Relaxed);
        self.pour(answer, request).await.map(|_| End::Landed)
    }

    /// Reads an answer until its request stops; whether it ended before. What came
    /// is good, however it ended.
    async fn pour(&self, mut answer: SourceResponse, request: &PendingRequest) -> Result<bool, FillError> {
        let mut writer = self.copy.writer(answer.start);
        // Also an empty answer is looked at: it is no clip.
        let poured = loop {
            if writer.at() >= request.end() && writer.at() > 0 {
                break Ok(false);
            }
            let mut chunk = match next_chunk(&mut answer.body, &mut writer).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break Ok(true),
                Err(error) => break Err(error),
            };
            // Where it stops may have come nearer meanwhile.
            chunk.truncate(usize::try_from(request.end().saturating_sub(writer.at())).unwrap_or(usize::MAX));
            // First, so that bytes of its own are never taken for others'.
            request.read.store(writer.at() + chunk.len() as u64, Ordering::Relaxed);
            if let Err(error) = self.land(&mut writer, chunk).await {
                break Err(error);
            }
            request.landed.store(writer.landed(), Ordering::Relaxed);
        };
        writer.flush().await?;
        request.landed.store(writer.landed(), Ordering::Relaxed);
        poured
    }
}
