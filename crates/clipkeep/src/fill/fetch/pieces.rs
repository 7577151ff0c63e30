//! A source that gives pieces: a few connections at once, in order, except
//! that what a viewer waits for comes first.

use std::{collections::BTreeMap, io, ops::Range, time::Duration};

use clipkeep_core::{extents::Extents, verdict::Verdict};
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::FuturesUnordered,
};
use tokio::time::Instant;

use super::{FIRST_PIECE, Fetch, PERSIST, PIECE, PIECE_TIME, is_same, next_chunk};
use crate::{
    fill::{
        caps::Permit,
        local::{Need, Opened, Writer},
        task::FillError,
    },
    source::{Piece, SourceError, SourceResponse},
};

/// An answer that is there already, with its connection's permit.
pub(super) type Answered = (SourceResponse, Option<Permit>);

/// How a piece's request ended.
enum End {
    /// All of it came.
    Landed,
    /// The source gave the whole instead: it has no pieces after all.
    NoPieces,
}

/// What a request brought, and how long it took.
struct Brought {
    bytes: u64,
    took: Duration,
}

/// Which request, what it brought, and how it ended.
type Ended = (u64, Brought, Result<End, FillError>);

/// The requests that are on their way.
struct Flight<'a> {
    fetch: &'a Fetch<'a>,
    opened: &'a Opened,
    running: FuturesUnordered<BoxFuture<'a, Ended>>,
    ranges: BTreeMap<u64, Range<u64>>,
    number: u64,
    /// How much the next request asks for.
    size: u64,
}

impl Fetch<'_> {
    /// Brings what is missing. `first` is an answer that is there already.
    pub(super) async fn pieces(&mut self, opened: &Opened, first: Option<Answered>) -> Result<(), FillError> {
        match self.shown_pieces(opened, first).await? {
            End::Landed => Ok(self.copy.complete(opened.total.unwrap_or_default()).await?),
            End::NoPieces => {
                self.copy.without_ranges();
                self.stream(Some(&opened.version)).await
            }
        }
    }

    /// The pieces, and beside them what viewers must know before the first.
    async fn shown_pieces(&self, opened: &Opened, first: Option<Answered>) -> Result<End, FillError> {
        let mut show = std::pin::pin!(self.show(opened));
        let mut all = std::pin::pin!(self.all_pieces(opened, first));
        tokio::select! {
            shown = &mut show => {
                shown?;
                all.await
            }
            ended = &mut all => {
                let ended = ended?;
                if matches!(ended, End::Landed) {
                    show.await?;
                }
                Ok(ended)
            }
        }
    }

    async fn all_pieces(&self, opened: &Opened, mut first: Option<Answered>) -> Result<End, FillError> {
        let mut flight = Flight::new(self, opened);
        let mut saving: OptionFuture<BoxFuture<'_, io::Result<()>>> = None.into();
        let (mut is_saving, mut saved) = (false, self.copy.sum());
        let mut failure = None;
        loop {
            if failure.is_none() {
                flight.start(&mut first);
            }
            if flight.running.is_empty() {
                return failure.map_or(Ok(End::Landed), Err);
            }
            if !is_saving && self.copy.sum() >= saved + PERSIST {
                (saving, is_saving, saved) = (Some(self.copy.persist().boxed()).into(), true, self.copy.sum());
            }
            tokio::select! {
                Some((id, brought, ended)) = flight.running.next() => {
                    flight.ranges.remove(&id);
                    flight.learn(&brought);
                    match ended {
                        Ok(End::Landed) => {}
                        Ok(End::NoPieces) => return Ok(End::NoPieces),
                        Err(error) if !is_passing(&error) => return Err(error),
                        // A piece that was cut is asked for again, what is left of it.
                        Err(_) if brought.bytes > 0 => {}
                        // Else those that fly may land first.
                        Err(error) => failure = Some(error),
                    }
                }
                Some(done) = &mut saving, if is_saving => {
                    is_saving = false;
                    done?;
                }
                () = self.copy.wanted() => {}
            }
        }
    }

    /// One request for one piece; `bytes` counts what it brought.
    async fn piece(
        &self,
        opened: &Opened,
        range: Range<u64>,
        answer: Option<SourceResponse>,
        bytes: &mut u64,
    ) -> Result<End, FillError> {
        let mut answer = match answer {
            Some(answer) => answer,
            None => {
                let if_range = opened.version.if_range().map(str::to_owned);
                let answer = self.ask(Some(&Piece { from: range.start, to: Some(range.end), if_range })).await?;
                if !is_same(Some(&opened.version), &answer.version) {
                    return Err(SourceError::changed().into());
                }
                answer
            }
        };
        if answer.start != range.start || !answer.is_part {
            return Ok(End::NoPieces);
        }
        let mut writer = self.copy.writer(range.start);
        let poured = self.pour_piece(&mut answer, &mut writer, range.end).await;
        // What came is good, however it ended.
        writer.flush().await?;
        *bytes = writer.at() - range.start;
        poured.map(|()| End::Landed)
    }

    async fn pour_piece(&self, answer: &mut SourceResponse, writer: &mut Writer, end: u64) -> Result<(), FillError> {
        while writer.at() < end {
            let Some(mut chunk) = next_chunk(&mut answer.body, writer).await? else { break };
            chunk.truncate(usize::try_from(end - writer.at()).unwrap_or(usize::MAX));
            self.land(writer, chunk).await?;
        }
        Ok(())
    }
}

impl<'a> Flight<'a> {
    fn new(fetch: &'a Fetch<'a>, opened: &'a Opened) -> Self {
        let (running, ranges) = (FuturesUnordered::new(), BTreeMap::new());
        Self { fetch, opened, running, ranges, number: 0, size: FIRST_PIECE }
    }

    /// Asks for more at once from a fast source than from a slow one.
    fn learn(&mut self, brought: &Brought) {
        /// Less says nothing of the speed.
        const TELLING: u64 = 64 * 1024;
        if brought.bytes >= TELLING {
            let fits = brought.bytes as f64 * PIECE_TIME.as_secs_f64() / brought.took.as_secs_f64().max(1e-6);
            self.size = (fits as u64 / TELLING * TELLING).clamp(*PIECE.start(), *PIECE.end());
        }
    }

    /// Starts requests while there is something to ask for and connections to
    /// ask over. The `first` is answered already.
    fn start(&mut self, first: &mut Option<Answered>) {
        // Who is held back must not hold connections that others need.
        let is_held_back = self.fetch.claim.backlog && self.fetch.inner.pace.holds_back(self.fetch.copy);
        let most = if is_held_back { 1 } else { self.fetch.inner.parts.settings.connections };
        if let Some((answer, permit)) = first.take() {
            let range = 0..FIRST_PIECE.min(self.opened.total.unwrap_or(FIRST_PIECE));
            self.launch(range, Some(answer), permit);
        }
        while self.ranges.len() < most {
            let need = Need::of_next(self.ranges.len(), most);
            let flying: Extents = self.ranges.values().cloned().collect();
            let Some(range) = self.fetch.copy.plan(&flying, need, self.size) else { break };
            let needed = self.ranges.is_empty() || need == Need::Waited;
            let permit = self.fetch.inner.caps.spare(&self.fetch.host);
            if permit.is_none() && !needed {
                break;
            }
            self.launch(range, None, permit);
        }
    }

    /// Sends a request off. If it has no permit yet it waits for one, while
    /// those that have theirs go on.
    fn launch(&mut self, range: Range<u64>, answer: Option<SourceResponse>, permit: Option<Permit>) {
        self.number += 1;
        let (id, fetch, opened) = (self.number, self.fetch, self.opened);
        self.ranges.insert(id, range.clone());
        self.running.push(Box::pin(async move {
            let _permit = match permit {
                Some(permit) => Some(permit),
                None => fetch.inner.caps.acquire(&fetch.host).await,
            };
            let (began, mut bytes) = (Instant::now(), 0);
            let ended = fetch.piece(opened, range, answer, &mut bytes).await;
            (id, Brought { bytes, took: began.elapsed() }, ended)
        }));
    }
}

/// Whether a failure says nothing of the pieces that fly beside it.
fn is_passing(error: &FillError) -> bool {
    matches!(error, FillError::Source(error) if matches!(error.verdict(), Verdict::Retry { .. }))
}
