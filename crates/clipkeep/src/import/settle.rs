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
    report::{Outcome, Report, Told},
};
use crate::{app::App, catalog::ClipSummary};

/// How many batches are waited for at once: a clip that takes its time does
/// not hide that those behind it are over.
const WINDOW: usize = 16;
/// How often clips that are not over are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// The first batch each time, the others once in so many.
const OFTEN: u32 = 5;
/// A clip that failed so often, and will not be tried for so long, is left to
/// the sweep.
const ENOUGH: (u32, Duration) = (3, Duration::from_secs(10));
/// So is one whose source asked us to stay away for longer than this.
const AWAY: Duration = Duration::from_secs(60);
/// And one that failed so often, however soon it is tried again.
const MOST_ATTEMPTS: u32 = 12;

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
    told: BTreeMap<u64, Told>,
}

/// What tells a line's clip.
struct Wanted {
    request_id: RequestId,
    url: SourceUrl,
}

/// Waits and counts. `None` if it was told to stop.
pub(super) async fn settle(
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
        while window.len() < WINDOW
            && let Some(open) = lines.take()
        {
            let (rest, batch) = open.next().await?;
            if !batch.is_empty() {
                window.push_back(pass.batch(batch));
                lines = Some(rest);
            }
        }
        let looked_at = if round.is_multiple_of(OFTEN) { WINDOW } else { 1 };
        for batch in window.iter_mut().take(looked_at) {
            pass.look(batch).await?;
        }
        pass.leave_behind(&mut window)?;
        watch(Step::Over { lines: pass.over, of: pass.summary.lines });
        if window.is_empty() && lines.is_none() {
            break;
        }
        let pause = if window.len() < WINDOW && lines.is_some() { Duration::ZERO } else { LOOK_AGAIN };
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
        let (mut pending, mut told) = (BTreeMap::new(), BTreeMap::new());
        for line in lines {
            match line.entry {
                Ok(entry) => _ = pending.insert(line.number, Wanted { request_id: entry.request_id, url: entry.url }),
                Err(refused) => {
                    self.over += 1;
                    self.note(&mut told, line.number, Told::bad(refused));
                }
            }
        }
        Batch { pending, told }
    }

    /// Looks at the clips of the lines that are pending; counts and notes those
    /// that are over.
    async fn look(&mut self, batch: &mut Batch) -> Result<(), ImportError> {
        let ids = batch.pending.values().map(|wanted| wanted.request_id.clone());
        let known = Known::load(&*self.app.catalog, ids).await?;
        let now = self.app.clock.now();
        let Batch { pending, told } = batch;
        pending.retain(|number, wanted| {
            let Some(over) = self.judge(&known, *number, wanted, now) else { return true };
            self.over += 1;
            self.note(told, *number, over);
            false
        });
        Ok(())
    }

    /// What became of a line, which is counted; `None` if it is worth waiting
    /// for.
    fn judge(&mut self, known: &Known, number: u64, wanted: &Wanted, now: Timestamp) -> Option<Told> {
        let (Wanted { request_id, url }, provider) = (wanted, &self.import.defaults.provider);
        let Some(clip) = known.clip(request_id, url, provider) else {
            // The first pass refused the line, and counted it.
            let Place::Refused(reason) = known.place(request_id, url, provider) else {
                return Some(Told::entry(request_id, url, Outcome::Bad));
            };
            return Some(Told { reason: Some(reason), ..Told::entry(request_id, url, Outcome::Bad) });
        };
        let outcome = self.outcome(clip, number, now)?;
        self.count(outcome);
        let is_there = outcome.is_stored() || matches!(outcome, Outcome::Registered | Outcome::Later);
        let age = now.since(clip.created_at);
        let is_over = self.import.retention.is_over(clip.model.as_deref(), clip.tenant.as_ref(), age);
        self.summary.too_old += u64::from(is_there && is_over);
        let (key, reason) = (Some(clip.key.clone()), clip.last_error.clone());
        Some(Told { key, reason, ..Told::entry(request_id, url, outcome) })
    }

    /// Remembers what is to be written.
    fn note(&self, told: &mut BTreeMap<u64, Told>, number: u64, line: Told) {
        if self.report.is_some() || (self.map.is_some() && line.outcome.is_stored()) {
            told.insert(number, line);
        }
    }

    /// Writes down the first batches, as far as all of them is over.
    fn leave_behind(&mut self, window: &mut VecDeque<Batch>) -> Result<(), ImportError> {
        while let Some(batch) = window.pop_front_if(|batch| batch.pending.is_empty()) {
            for (number, told) in batch.told {
                if let Some(report) = &mut self.report {
                    report.add(number, &told)?;
                }
                let stored = told.url.zip(told.key).filter(|_| told.outcome.is_stored());
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
    let (attempts, pause) = ENOUGH;
    let wait = clip.due_at.map_or(Duration::MAX, |due| due.since(now));
    let is_long = (clip.attempts >= attempts && wait > pause) || (clip.attempts > 0 && wait > AWAY);
    is_long || clip.attempts >= MOST_ATTEMPTS
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
