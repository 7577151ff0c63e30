//! The second pass: waits for each line's clip to be over, and counts.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use clipkeep_core::{id::RequestId, policy::Policy, secret::SourceUrl, state::ClipState, time::Timestamp};
use tokio_util::sync::CancellationToken;

use super::{
    Import, ImportError, Step, Summary, Watch,
    known::Known,
    lines::{Line, Lines},
    output::Map,
};
use crate::{app::App, catalog::Outline};

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

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    AlreadyKept,
    Registered,
    Lost,
    Rejected,
    Later,
    Deleted,
}

/// What the second pass works with.
struct Pass<'a> {
    import: &'a Import,
    app: &'a App,
    summary: Summary,
    map: Option<Map>,
    over: u64,
}

/// A few hundred lines of the table.
struct Batch {
    /// Those whose clips are not over, by number.
    pending: BTreeMap<u64, Wanted>,
    /// Old and final URLs of those that are stored, by number.
    stored: BTreeMap<u64, (SourceUrl, String)>,
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
    let map = import.map.as_deref().map(Map::create).transpose()?;
    let mut pass = Pass { import, app, summary, map, over: 0 };
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
        let mut pending = BTreeMap::new();
        for line in lines {
            match line.entry {
                Ok(entry) => _ = pending.insert(line.number, Wanted { request_id: entry.request_id, url: entry.url }),
                Err(_) => self.over += 1,
            }
        }
        Batch { pending, stored: BTreeMap::new() }
    }

    /// Looks at the clips of the lines that are pending; counts those that are
    /// over and notes what is stored.
    async fn look(&mut self, batch: &mut Batch) -> Result<(), ImportError> {
        let ids = batch.pending.values().map(|wanted| wanted.request_id.clone());
        let known = Known::load(&*self.app.catalog, ids).await?;
        let now = self.app.clock.now();
        let Batch { pending, stored } = batch;
        pending.retain(|number, Wanted { request_id, url }| {
            // The first pass refused the line, and counted it.
            let Some(clip) = known.clip(request_id, url, &self.import.defaults.provider) else {
                self.over += 1;
                return false;
            };
            let Some(fate) = self.fate(clip, *number, now) else { return true };
            self.count(fate);
            if matches!(fate, Fate::Kept | Fate::AlreadyKept) {
                stored.insert(*number, (url.clone(), self.app.final_urls.of(&clip.key)));
            }
            false
        });
        Ok(())
    }

    /// Writes down the first batches, as far as all of them is over.
    fn leave_behind(&mut self, window: &mut VecDeque<Batch>) -> Result<(), ImportError> {
        while let Some(batch) = window.pop_front_if(|batch| batch.pending.is_empty()) {
            let Some(map) = &mut self.map else { continue };
            for (url, final_url) in batch.stored.values() {
                map.add(url.expose(), final_url)?;
            }
        }
        Ok(())
    }

    /// What became of a line's clip; `None` if it is worth waiting for.
    fn fate(&self, clip: &Outline, number: u64, now: Timestamp) -> Option<Fate> {
        match clip.state {
            ClipState::Stored if clip.slot == Import::slot(&self.summary.import, number) => Some(Fate::Kept),
            ClipState::Stored => Some(Fate::AlreadyKept),
            ClipState::Lost => Some(Fate::Lost),
            ClipState::Rejected => Some(Fate::Rejected),
            ClipState::Deleted => Some(Fate::Deleted),
            ClipState::Waiting | ClipState::Filling if !self.import.fill => Some(Fate::Registered),
            ClipState::Filling => None,
            ClipState::Waiting if clip.policy != Policy::Eager => Some(Fate::Registered),
            ClipState::Waiting => is_put_off(clip, now).then_some(Fate::Later),
        }
    }

    fn count(&mut self, fate: Fate) {
        self.over += 1;
        let summary = &mut self.summary;
        *match fate {
            Fate::Kept => &mut summary.kept,
            Fate::AlreadyKept => &mut summary.already_kept,
            Fate::Registered => &mut summary.registered,
            Fate::Lost => &mut summary.lost,
            Fate::Rejected => &mut summary.rejected,
            Fate::Later => &mut summary.later,
            Fate::Deleted => &mut summary.deleted,
        } += 1;
    }

    fn finish(mut self) -> Result<Summary, ImportError> {
        if let Some(map) = self.map {
            map.finish()?;
            self.summary.map.clone_from(&self.import.map);
        }
        Ok(self.summary)
    }
}

/// Whether a clip that failed is not worth waiting for now.
fn is_put_off(clip: &Outline, now: Timestamp) -> bool {
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
            let clip = Outline {
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
            };
            assert_eq!(is_put_off(&clip, now), put_off, "{attempts} attempts, {wait_secs} s");
        }
    }
}
