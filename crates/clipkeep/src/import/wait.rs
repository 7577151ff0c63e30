//! The second pass: waits for each line's clip to be over, and counts.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use clipkeep_core::{id::RequestId, policy::Policy, secret::SourceUrl, state::ClipState, time::Timestamp};
use tokio_util::sync::CancellationToken;

use super::{
    Import, ImportError, Step, Summary, Watch,
    known::{Known, Place},
    lines::{Line, Lines},
    output::Map,
    report::{LineResult, Outcome, Report},
};
use crate::{app::App, catalog::ClipSummary};

/// How many batches are waited for at once: a clip that takes its time does
/// not hide that those behind it are over.
const MAX_BATCHES_WAITING: usize = 16;
/// How often clips that are not over are looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The first batch each time, the others once in so many.
const FREQUENT_POLLS: u32 = 5;
/// A clip that failed so often, and will not be tried for so long, is left to
/// the sweep.
const GIVE_UP_AFTER: (u32, Duration) = (3, Duration::from_secs(10));
/// So is one whose source asked us to stay away for longer than this.
const LOST_LEASE_AFTER: Duration = Duration::from_secs(60);
/// And one that failed so often, however soon it is tried again.
const MAX_ATTEMPTS: u32 = 12;

/// What the second pass works with.
struct Pass<'a> {
    import: &'a Import,
    app: &'a App,
    summary: Summary,
    map: Option<Map>,
    report: Option<Report>,
    over: u64,
}

/// A few hundred lines of the table.
struct Batch {
    /// Those whose clips are not over, by number.
    pending: BTreeMap<u64, Wanted>,
    /// What became of the others, by number, as far as it is written down.
    results: BTreeMap<u64, LineResult>,
}

/// What tells a line's clip.
struct Wanted {
    request_id: RequestId,
    url: SourceUrl,
}

/// Waits and counts. `None` if it was told to stop.
pub(super) async fn wait_for_fills(
    import: &Import,
    app: &App,
    summary: Summary,
    watch: Watch<'_>,
    stop: &CancellationToken,
) -> Result<Option<Summary>, ImportError> {
    let map = import.outputs.map.as_deref().map(Map::create).transpose()?;
    let report = import.outputs.report.as_deref().map(Report::create).transpose()?;
    let mut pass = Pass { import, app, summary, map, report, over: 0 };
    let (mut lines, mut window) = (Some(Lines::open(import).await?), VecDeque::new());
    for round in 0_u32.. {
        while window.len() < MAX_BATCHES_WAITING
            && let Some(open) = lines.take()
        {
            let (rest, batch) = open.next().await?;
            if !batch.is_empty() {
                window.push_back(pass.batch(batch));
                lines = Some(rest);
            }
        }
        let looked_at = if round.is_multiple_of(FREQUENT_POLLS) { MAX_BATCHES_WAITING } else { 1 };
        for batch in window.iter_mut().take(looked_at) {
            pass.look(batch).await?;
        }
        pass.leave_behind(&mut window)?;
        watch(Step::Over { lines: pass.over, of: pass.summary.lines });
        if window.is_empty() && lines.is_none() {
            break;
        }
        let pause = if window.len() < MAX_BATCHES_WAITING && lines.is_some() { Duration::ZERO } else { POLL_INTERVAL };
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(pause) => {}
        }
    }
    pass.finish().map(Some)
}

impl Pass<'_> {
    fn batch(&mut self, lines: Vec<Line>) -> Batch {
        let (mut pending, mut results) = (BTreeMap::new(), BTreeMap::new());
        for line in lines {
            match line.entry {
                Ok(entry) => _ = pending.insert(line.number, Wanted { request_id: entry.request_id, url: entry.url }),
                Err(refused) => {
                    self.over += 1;
                    self.add_result(&mut results, line.number, LineResult::bad(refused));
                }
            }
        }
        Batch { pending, results }
    }

    /// Looks at the clips of the lines that are pending; counts and notes those
    /// that are over.
    async fn look(&mut self, batch: &mut Batch) -> Result<(), ImportError> {
        let ids = batch.pending.values().map(|wanted| wanted.request_id.clone());
        let known = Known::load(&*self.app.catalog, ids).await?;
        let now = self.app.clock.now();
        let Batch { pending, results } = batch;
        pending.retain(|number, wanted| {
            let Some(over) = self.judge(&known, *number, wanted, now) else { return true };
            self.over += 1;
            self.add_result(results, *number, over);
            false
        });
        Ok(())
    }

    /// What became of a line, which is counted; `None` if it is worth waiting
    /// for.
    fn judge(&mut self, known: &Known, number: u64, wanted: &Wanted, now: Timestamp) -> Option<LineResult> {
        let (Wanted { request_id, url }, provider) = (wanted, &self.import.defaults.provider);
        let Some(clip) = known.clip(request_id, url, provider) else {
            // The first pass refused the line, and counted it.
            let Place::Refused(reason) = known.place(request_id, url, provider) else {
                return Some(LineResult::entry(request_id, url, Outcome::Bad));
            };
            return Some(LineResult { reason: Some(reason), ..LineResult::entry(request_id, url, Outcome::Bad) });
        };
        let outcome = self.outcome(clip, number, now)?;
        self.count(outcome);
        let is_there = outcome.is_stored() || matches!(outcome, Outcome::Registered | Outcome::Later);
        let age = now.since(clip.created_at);
        let is_over = self.import.retention.is_over(clip.model.as_deref(), clip.tenant.as_ref(), age);
        self.summary.too_old += u64::from(is_there && is_over);
        let (key, reason) = (Some(clip.key.clone()), clip.last_error.clone());
        Some(LineResult { key, reason, ..LineResult::entry(request_id, url, outcome) })
    }

    /// Remembers what is to be written.
    fn add_result(&self, results: &mut BTreeMap<u64, LineResult>, number: u64, line: LineResult) {
        if self.report.is_some() || (self.map.is_some() && line.outcome.is_stored()) {
            results.insert(number, line);
        }
    }

    /// Writes down the first batches, as far as all of them is over.
    fn leave_behind(&mut self, window: &mut VecDeque<Batch>) -> Result<(), ImportError> {
        while let Some(batch) = window.pop_front_if(|batch| batch.pending.is_empty()) {
            for (number, result) in batch.results {
                if let Some(report) = &mut self.report {
                    report.add(number, &result)?;
                }
                let stored = result.url.zip(result.key).filter(|_| result.outcome.is_stored());
                if let Some((map, (url, key))) = self.map.as_mut().zip(stored) {
                    map.add(url.expose(), &self.app.final_urls.of(&key))?;
                }
            }
        }
        Ok(())
    }

    /// What became of a line's clip; `None` if it is worth waiting for.
    fn outcome(&self, clip: &ClipSummary, number: u64, now: Timestamp) -> Option<Outcome> {
        match clip.state {
            ClipState::Stored if clip.slot == Import::slot(&self.summary.import, number) => Some(Outcome::Kept),
            ClipState::Stored => Some(Outcome::AlreadyKept),
            ClipState::Lost => Some(Outcome::Lost),
            ClipState::Rejected => Some(Outcome::Rejected),
            ClipState::Deleted => Some(Outcome::Deleted),
            ClipState::Waiting | ClipState::Filling if !self.import.fill => Some(Outcome::Registered),
            ClipState::Filling => None,
            ClipState::Waiting if clip.policy != Policy::Eager => Some(Outcome::Registered),
            ClipState::Waiting => is_put_off(clip, now).then_some(Outcome::Later),
        }
    }

    fn count(&mut self, outcome: Outcome) {
        let summary = &mut self.summary;
        *match outcome {
            Outcome::Kept => &mut summary.kept,
            Outcome::AlreadyKept => &mut summary.already_kept,
            Outcome::Registered => &mut summary.registered,
            Outcome::Lost => &mut summary.lost,
            Outcome::Rejected => &mut summary.rejected,
            Outcome::Later => &mut summary.later,
            Outcome::Deleted => &mut summary.deleted,
            // Counted before.
            Outcome::Bad | Outcome::Good => return,
        } += 1;
    }

    fn finish(mut self) -> Result<Summary, ImportError> {
        if let Some(map) = self.map {
            map.finish()?;
            self.summary.map.clone_from(&self.import.outputs.map);
        }
        self.summary.report = self.report.map(Report::finish).transpose()?;
        Ok(self.summary)
    }
}

/// Whether a clip that failed is not worth waiting for now.
fn is_put_off(clip: &ClipSummary, now: Timestamp) -> bool {
    let (attempts, pause) = GIVE_UP_AFTER;
    let wait = clip.due_at.map_or(Duration::MAX, |due| due.since(now));
    let is_long = (clip.attempts >= attempts && wait > pause) || (clip.attempts > 0 && wait > LOST_LEASE_AFTER);
    is_long || clip.attempts >= MAX_ATTEMPTS
}

#[cfg(test)]
mod tests {
    use clipkeep_core::id::Provider;

    use super::*;

    #[test]
    fn a_clip_that_fails_is_waited_for_within_reason() {
        let now = Timestamp::from_secs(1_800_000_000);
        for (attempts, wait_secs, put_off) in [
            (0, 3600, false),
            (1, 60, false),
            (1, 61, true),
            (2, 11, false),
            (3, 10, false),
            (3, 11, true),
            (11, 0, false),
            (12, 0, true),
        ] {
            let clip = ClipSummary {
                key: "r.mp4".parse().unwrap(),
                provider: Provider::fal(),
                request_id: "r".parse().unwrap(),
                index: 0,
                slot: String::new(),
                state: ClipState::Waiting,
                policy: Policy::Eager,
                source_url: SourceUrl::new("x"),
                due_at: Some(now.plus(Duration::from_secs(wait_secs))),
                attempts,
                last_error: None,
                created_at: now,
                model: None,
                tenant: None,
            };
            assert_eq!(is_put_off(&clip, now), put_off, "{attempts} attempts, {wait_secs} s");
        }
    }
}
