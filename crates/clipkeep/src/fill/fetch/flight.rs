//! All requests of a fill that are on their way: the answer that is read on, and
//! pieces beside it while the source allows. What a viewer waits for comes
//! first.

use std::{collections::BTreeMap, io, ops::Range, sync::Arc, time::Duration};

use clipkeep_core::{extents::Extents, ladder::Rung, verdict::Verdict};
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::FuturesUnordered,
};
use tokio::time::MissedTickBehavior;

use super::{
    Fetch,
    ask::Main,
    flow::{End, Flow},
};
use crate::{
    fill::{
        caps::Permit,
        local::{Flying, Need, Opened},
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
const LONG: Duration = Duration::from_secs(8);
/// So few bytes are sooner read once more than passed over by another request.
const PASSED: u64 = 64 * 1024;
/// Less says nothing of a source's speed, or of its will.
const TELLING: u64 = 64 * 1024;
/// What is there is made to survive a kill after so many new bytes.
const PERSIST: u64 = 8 * 1024 * 1024;
/// How often it is looked anew at who waits.
const TICK: Duration = Duration::from_millis(25);

/// How far a flight came.
pub(super) enum Flown {
    /// All is here.
    All,
    /// Part of it; and why no more, where that is known.
    Part(Option<SourceError>),
}

/// Which request, and how it ended.
type Ended = (u64, Result<End, FillError>);

/// The requests that are on their way.
struct Flight<'a> {
    fetch: &'a Fetch<'a>,
    opened: &'a Opened,
    running: FuturesUnordered<BoxFuture<'a, Ended>>,
    flows: BTreeMap<u64, Arc<Flow>>,
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
    pub(super) async fn fly(&self, opened: &Opened, main: Main) -> Result<Flown, FillError> {
        let mut flight = Flight::new(self, opened);
        flight.read_on(main);
        let mut saving: OptionFuture<BoxFuture<'_, io::Result<()>>> = None.into();
        let (mut is_saving, mut saved) = (false, self.copy.sum());
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            flight.stop_where_it_is_here();
            flight.start();
            if flight.running.is_empty() {
                return flight.flown();
            }
            if !is_saving && self.copy.sum() >= saved + PERSIST {
                (saving, is_saving, saved) = (Some(self.copy.persist().boxed()).into(), true, self.copy.sum());
            }
            tokio::select! {
                Some((id, ended)) = flight.running.next() => flight.ended(id, ended)?,
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

impl<'a> Flight<'a> {
    fn new(fetch: &'a Fetch<'a>, opened: &'a Opened) -> Self {
        Self {
            fetch,
            opened,
            running: FuturesUnordered::new(),
            flows: BTreeMap::new(),
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
        let (id, flow) = self.enter(main.answer.start..end, true);
        flow.answered();
        let (fetch, opened) = (self.fetch, self.opened);
        self.running.push(Box::pin(async move { (id, fetch.read_on(opened, main, &flow).await) }));
    }

    /// Sends a request for a piece off. If it has no permit yet it waits for
    /// one, while those that have theirs go on.
    fn launch(&mut self, range: Range<u64>, is_long: bool, permit: Option<Permit>) {
        let is_alone = self.flows.is_empty();
        let (id, flow) = self.enter(range, is_long);
        let (fetch, opened) = (self.fetch, self.opened);
        self.running.push(Box::pin(async move { (id, fetch.piece(opened, permit, &flow, is_alone).await) }));
    }

    fn enter(&mut self, range: Range<u64>, is_long: bool) -> (u64, Arc<Flow>) {
        self.number += 1;
        let flow = Arc::new(Flow::new(range, is_long));
        self.flows.insert(self.number, Arc::clone(&flow));
        (self.number, flow)
    }

    /// Asks for pieces while there is something to ask for and connections to
    /// ask over. Where no answer is read on only a source that proved itself is
    /// asked for a piece: any other is to read on to the end.
    fn start(&mut self) {
        let (fetch, copy) = (self.fetch, self.fetch.copy);
        let may_ask = self.opened.ranges && copy.rung() == Rung::Parallel && self.failure.is_none();
        let is_read_on = self.flows.values().any(|flow| flow.is_answered());
        if !may_ask || !(is_read_on || fetch.is_proven()) {
            return;
        }
        // Who is held back must not hold connections that others need.
        let is_held_back = fetch.claim.backlog && fetch.inner.pace.holds_back(copy);
        let most = if is_held_back { 1 } else { fetch.inner.parts.settings.connections };
        while self.flows.len() < most {
            let of_next = Need::of_next(self.flows.len(), most);
            let flying: Vec<Flying> = self.flows.values().map(|flow| flow.flying()).collect();
            let planned = copy.plan(&flying, of_next, self.size).map(|(range, need)| (range, need, false));
            let half = || Some((self.half().filter(|_| of_next == Need::Missing)?, Need::Missing, true));
            let Some((range, need, is_long)) = planned.or_else(half) else { break };
            let permit = fetch.inner.caps.spare(&fetch.host);
            if permit.is_none() && !self.flows.is_empty() && need != Need::Waited {
                break;
            }
            self.launch(range, is_long, permit);
        }
    }

    /// The second half of what goes on for too long.
    fn half(&self) -> Option<Range<u64>> {
        let longest = self.flows.values().filter(|flow| flow.left() > LONG).max_by_key(|flow| flow.left())?;
        let middle = longest.read() + (longest.end() - longest.read()) / 2;
        self.fetch.copy.gap(middle..longest.end())
    }

    /// Answers that run stop where the rest of what they bring is here or comes
    /// otherwise; at any bytes that are here, once the source has proved that it
    /// can be asked again for what follows.
    fn stop_where_it_is_here(&self) {
        let can_ask = self.fetch.is_proven() && self.fetch.copy.rung() == Rung::Parallel;
        for (id, flow) in &self.flows {
            let mut here = self.fetch.copy.extents();
            let beside = self.flows.iter().filter(|(other, _)| *other != id);
            let ahead =
                beside.map(|(_, other)| other).filter(|other| other.is_answered() && other.read() > flow.read());
            ahead.for_each(|other| here.insert(other.flying().range));
            if let Some(stop) = stop(flow.read()..flow.end(), &here, can_ask) {
                flow.stop_at(stop);
            }
        }
    }

    fn ended(&mut self, id: u64, ended: Result<End, FillError>) -> Result<(), FillError> {
        let Some(flow) = self.flows.remove(&id) else { return Ok(()) };
        self.learn(&flow);
        let copy = self.fetch.copy;
        let error = match ended {
            Ok(End::Landed) => return Ok(()),
            Ok(End::OfAll) => {
                self.is_at_end = true;
                return Ok(());
            }
            Ok(End::NoPieces) => {
                copy.step_down(Rung::Stream);
                return Ok(());
            }
            Err(FillError::Source(error)) => error,
            Err(error) => return Err(error),
        };
        if error.verdict() == Verdict::Changed {
            // It names its answers as it likes: one answer is one version.
            copy.step_down(Rung::Stream);
            return Ok(());
        }
        let may_pass = matches!(error.verdict(), Verdict::Retry { .. });
        let is_piece = id > 1;
        if may_pass && (flow.brought() >= TELLING || !(is_piece || self.flows.is_empty())) {
            // It broke off: what is left of it is asked for again.
            self.broke_off = Some(error);
        } else if is_piece && !(may_pass && self.flows.is_empty()) {
            // A piece that is refused says nothing against what runs beside it.
            copy.step_down(copy.rung().refused_beside());
        } else {
            self.failure = Some(error);
        }
        Ok(())
    }

    /// Asks for more at once from a fast source than from a slow one.
    fn learn(&mut self, flow: &Flow) {
        if flow.brought() >= TELLING {
            let fits = flow.brought() as f64 * PIECE_TIME.as_secs_f64() / flow.took().as_secs_f64().max(1e-6);
            self.size = (fits as u64 / TELLING * TELLING).clamp(*PIECE.start(), *PIECE.end());
        }
    }

    fn flown(self) -> Result<Flown, FillError> {
        let here = self.fetch.copy.len();
        let is_all = here > 0 && (self.is_at_end || self.opened.total == Some(here));
        match self.failure {
            _ if is_all => Ok(Flown::All),
            Some(error) => Err(error.into()),
            None => Ok(Flown::Part(self.broke_off)),
        }
    }
}

/// Where an answer stops that is to be read over `range`, with `here` there
/// already or coming otherwise. `can_ask` says whether what it leaves out can be
/// asked for.
fn stop(range: Range<u64>, here: &Extents, can_ask: bool) -> Option<u64> {
    let Some(gap) = here.gap(range.clone()) else { return Some(range.start) };
    if gap.start > range.start {
        return (can_ask && gap.start - range.start > PASSED).then_some(range.start);
    }
    let is_rest_here = gap.end < range.end && here.gap(gap.end..range.end).is_none();
    let is_worth_it = can_ask && here.end_from(gap.end) - gap.end > PASSED;
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
            (here(&[(0, M), (4 * M, 4 * M + PASSED)]), M..9 * M, true, None),
            (here(&[(0, 5 * M)]), 4 * M..9 * M, true, Some(4 * M)),
            (here(&[(0, 5 * M)]), 4 * M..9 * M, false, None),
            (here(&[(0, 9 * M)]), 4 * M..9 * M, false, Some(4 * M)),
            (here(&[(0, M)]), M..u64::MAX, true, None),
        ] {
            assert_eq!(stop(range.clone(), &have, can_ask), expected, "{have:?} {range:?} {can_ask}");
        }
    }
}
