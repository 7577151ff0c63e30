//! All requests of a fill that are on their way: the answer that is read on, and
//! pieces beside it while the source allows. What a viewer waits for comes
//! first.

use std::{collections::BTreeMap, io, ops::Range, sync::Arc, time::Duration};

use clipkeep_core::{extents::Extents, request_mode::RequestMode, verdict::Verdict};
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::FuturesUnordered,
};
use tokio::time::MissedTickBehavior;

use super::{
    Fetch,
    ask::Main,
    pending::{End, PendingRequest},
};
use crate::{
    fill::{
        limits::Permit,
        local::{Need, Opened, PendingRange},
        task::FillError,
    },
    source::SourceError,
};

/// How much is asked for in the first pieces.
const FIRST_PIECE: u64 = 512 * 1024;
/// The least and the most that is asked for in one piece.
const PIECE: std::ops::RangeInclusive<u64> = 256 * 1024..=4 * 1024 * 1024;
/// How long a piece should take: as long as a viewer may have to wait whose
/// bytes are at its end.
const PIECE_TIME: Duration = Duration::from_millis(250);
/// An answer that goes on for longer shares what is left with a second
/// connection. To break off an answer costs what is on its way, which is little
/// against so much.
const SPLIT_AFTER: Duration = Duration::from_secs(8);
/// So few bytes are sooner read once more than passed over by another request.
const MIN_REFETCH: u64 = 64 * 1024;
/// Less says nothing of a source's speed, or of its will.
const MIN_MEASURED: u64 = 64 * 1024;
/// What is there is made to survive a kill after so many new bytes.
const PERSIST_EVERY: u64 = 8 * 1024 * 1024;
/// How often it is looked anew at who waits.
const TICK: Duration = Duration::from_millis(25);

/// How far a flight came.
pub(super) enum FetchOutcome {
    /// All is here.
    All,
    /// Part of it; and why no more, where that is known.
    Part(Option<SourceError>),
}

/// Which request, and how it ended.
type Ended = (u64, Result<End, FillError>);

/// The requests that are on their way.
struct RequestPool<'a> {
    fetch: &'a Fetch<'a>,
    opened: &'a Opened,
    running: FuturesUnordered<BoxFuture<'a, Ended>>,
    requests: BTreeMap<u64, Arc<PendingRequest>>,
    number: u64,
    /// How much the next piece asks for.
    size: u64,
    /// Whether the source ended, where nobody knew before.
    is_at_end: bool,
    broke_off: Option<SourceError>,
    failure: Option<SourceError>,
}

impl Fetch<'_> {
    /// Reads the answer on, and asks for pieces beside it, until all is here or
    /// nothing is on its way any more.
    pub(super) async fn run_requests(&self, opened: &Opened, main: Main) -> Result<FetchOutcome, FillError> {
        let mut pool = RequestPool::new(self, opened);
        pool.read_on(main);
        let mut saving: OptionFuture<BoxFuture<'_, io::Result<()>>> = None.into();
        let (mut is_saving, mut saved) = (false, self.copy.sum());
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pool.stop_where_it_is_here();
            pool.start();
            if pool.running.is_empty() {
                return pool.outcome();
            }
            if !is_saving && self.copy.sum() >= saved + PERSIST_EVERY {
                (saving, is_saving, saved) = (Some(self.copy.persist().boxed()).into(), true, self.copy.sum());
            }
            tokio::select! {
                Some((id, ended)) = pool.running.next() => pool.ended(id, ended)?,
                Some(done) = &mut saving, if is_saving => {
                    is_saving = false;
                    done?;
                }
                () = self.copy.wanted() => {}
                _ = tick.tick(), if opened.ranges => {}
            }
        }
    }
}

impl<'a> RequestPool<'a> {
    fn new(fetch: &'a Fetch<'a>, opened: &'a Opened) -> Self {
        Self {
            fetch,
            opened,
            running: FuturesUnordered::new(),
            requests: BTreeMap::new(),
            number: 0,
            size: FIRST_PIECE,
            is_at_end: false,
            broke_off: None,
            failure: None,
        }
    }

    /// Takes up the answer that is there.
    fn read_on(&mut self, main: Main) {
        let end = main.to.or(self.opened.total).unwrap_or(u64::MAX);
        let (id, request) = self.enter(main.answer.start..end, true);
        request.answered();
        let (fetch, opened) = (self.fetch, self.opened);
        self.running.push(Box::pin(async move { (id, fetch.read_on(opened, main, &request).await) }));
    }

    /// Sends a request for a piece off. If it has no permit yet it waits for
    /// one, while those that have theirs go on.
    fn launch(&mut self, range: Range<u64>, is_long: bool, permit: Option<Permit>) {
        let is_alone = self.requests.is_empty();
        let (id, request) = self.enter(range, is_long);
        let (fetch, opened) = (self.fetch, self.opened);
        self.running.push(Box::pin(async move { (id, fetch.piece(opened, permit, &request, is_alone).await) }));
    }

    fn enter(&mut self, range: Range<u64>, is_long: bool) -> (u64, Arc<PendingRequest>) {
        self.number += 1;
        let request = Arc::new(PendingRequest::new(range, is_long));
        self.requests.insert(self.number, Arc::clone(&request));
        (self.number, request)
    }

    /// Asks for pieces while there is something to ask for and connections to
    /// ask over. Where no answer is read on only a source that proved itself is
    /// asked for a piece: any other is to read on to the end.
    fn start(&mut self) {
        let (fetch, copy) = (self.fetch, self.fetch.copy);
        let may_ask = self.opened.ranges && copy.request_mode() == RequestMode::Parallel && self.failure.is_none();
        let is_read_on = self.requests.values().any(|request| request.is_answered());
        if !may_ask || !(is_read_on || fetch.is_proven()) {
            return;
        }
        // Who is held back must not hold connections that others need.
        let is_held_back = fetch.claim.backlog && fetch.inner.rate_limit.holds_back(copy);
        let most = if is_held_back { 1 } else { fetch.inner.parts.settings.connections };
        while self.requests.len() < most {
            let of_next = Need::of_next(self.requests.len(), most);
            let pending: Vec<PendingRange> = self.requests.values().map(|request| request.pending()).collect();
            let planned = copy.plan(&pending, of_next, self.size).map(|(range, need)| (range, need, false));
            let half = || Some((self.half().filter(|_| of_next == Need::Missing)?, Need::Missing, true));
            let Some((range, need, is_long)) = planned.or_else(half) else { break };
            let permit = fetch.inner.connection_limits.spare(&fetch.host);
            if permit.is_none() && !self.requests.is_empty() && need != Need::Waited {
                break;
            }
            self.launch(range, is_long, permit);
        }
    }

    /// The second half of what goes on for too long.
    fn half(&self) -> Option<Range<u64>> {
        let longest = self
            .requests
            .values()
            .filter(|request| request.left() > SPLIT_AFTER)
            .max_by_key(|request| request.left())?;
        let middle = longest.read() + (longest.end() - longest.read()) / 2;
        self.fetch.copy.gap(middle..longest.end())
    }

    /// Answers that run stop where the rest of what they bring is here or comes
    /// otherwise; at any bytes that are here, once the source has proved that it
    /// can be asked again for what follows.
    fn stop_where_it_is_here(&self) {
        let can_ask = self.fetch.is_proven() && self.fetch.copy.request_mode() == RequestMode::Parallel;
        for (id, request) in &self.requests {
            let mut here = self.fetch.copy.extents();
            let beside = self.requests.iter().filter(|(other, _)| *other != id);
            let ahead =
                beside.map(|(_, other)| other).filter(|other| other.is_answered() && other.read() > request.read());
            ahead.for_each(|other| here.insert(other.pending().range));
            if let Some(stop) = stop(request.read()..request.end(), &here, can_ask) {
                request.stop_at(stop);
            }
        }
    }

    fn ended(&mut self, id: u64, ended: Result<End, FillError>) -> Result<(), FillError> {
        let Some(request) = self.requests.remove(&id) else { return Ok(()) };
        self.learn(&request);
        let copy = self.fetch.copy;
        let error = match ended {
            Ok(End::Landed) => return Ok(()),
            Ok(End::OfAll) => {
                self.is_at_end = true;
                return Ok(());
            }
            Ok(End::NoPieces) => {
                copy.downgrade(RequestMode::Stream);
                return Ok(());
            }
            Err(FillError::Source(error)) => error,
            Err(error) => return Err(error),
        };
        if error.verdict() == Verdict::Changed {
            // It names its answers as it likes: one answer is one version.
            copy.downgrade(RequestMode::Stream);
            return Ok(());
        }
        let may_pass = matches!(error.verdict(), Verdict::Retry { .. });
        let is_piece = id > 1;
        if may_pass && (request.received() >= MIN_MEASURED || !(is_piece || self.requests.is_empty())) {
            // It broke off: what is left of it is asked for again.
            self.broke_off = Some(error);
        } else if is_piece && !(may_pass && self.requests.is_empty()) {
            // A piece that is refused says nothing against what runs beside it.
            copy.downgrade(copy.request_mode().refused_beside());
        } else {
            self.failure = Some(error);
        }
        Ok(())
    }

    /// Asks for more at once from a fast source than from a slow one.
    fn learn(&mut self, request: &PendingRequest) {
        if request.received() >= MIN_MEASURED {
            let fits = request.received() as f64 * PIECE_TIME.as_secs_f64() / request.took().as_secs_f64().max(1e-6);
            self.size = (fits as u64 / MIN_MEASURED * MIN_MEASURED).clamp(*PIECE.start(), *PIECE.end());
        }
    }

    fn outcome(self) -> Result<FetchOutcome, FillError> {
        let here = self.fetch.copy.len();
        let is_all = here > 0 && (self.is_at_end || self.opened.total == Some(here));
        match self.failure {
            _ if is_all => Ok(FetchOutcome::All),
            Some(error) => Err(error.into()),
            None => Ok(FetchOutcome::Part(self.broke_off)),
        }
    }
}

/// Where an answer stops that is to be read over `range`, with `here` there
/// already or coming otherwise. `can_ask` says whether what it leaves out can be
/// asked for.
fn stop(range: Range<u64>, here: &Extents, can_ask: bool) -> Option<u64> {
    let Some(gap) = here.gap(range.clone()) else { return Some(range.start) };
    if gap.start > range.start {
        return (can_ask && gap.start - range.start > MIN_REFETCH).then_some(range.start);
    }
    let is_rest_here = gap.end < range.end && here.gap(gap.end..range.end).is_none();
    let is_worth_it = can_ask && here.end_from(gap.end) - gap.end > MIN_REFETCH;
    (gap.end < range.end && (is_rest_here || is_worth_it)).then_some(gap.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_stops_where_the_rest_comes_otherwise() {
        const M: u64 = 1 << 20;
        let here = |ranges: &[(u64, u64)]| ranges.iter().map(|(start, end)| *start..*end).collect::<Extents>();
        for (have, range, can_ask, expected) in [
            (here(&[(0, M)]), M..9 * M, false, None),
            (here(&[(0, M), (8 * M, 9 * M)]), M..9 * M, false, Some(8 * M)),
            (here(&[(0, M), (4 * M, 5 * M)]), M..9 * M, false, None),
            (here(&[(0, M), (4 * M, 5 * M)]), M..9 * M, true, Some(4 * M)),
            (here(&[(0, M), (4 * M, 4 * M + MIN_REFETCH)]), M..9 * M, true, None),
            (here(&[(0, 5 * M)]), 4 * M..9 * M, true, Some(4 * M)),
            (here(&[(0, 5 * M)]), 4 * M..9 * M, false, None),
            (here(&[(0, 9 * M)]), 4 * M..9 * M, false, Some(4 * M)),
            (here(&[(0, M)]), M..u64::MAX, true, None),
        ] {
            assert_eq!(stop(range.clone(), &have, can_ask), expected, "{have:?} {range:?} {can_ask}");
        }
    }
}
