//! The second pass: waits for each line's clip to be over, and counts.

use std::{collections::BTreeMap, time::Duration};

use clipkeep_core::{policy::Policy, state::ClipState, time::Timestamp};
use tokio_util::sync::CancellationToken;

use super::{
    Import, ImportError, Step, Summary, Watch,
    entry::Entry,
    known::Known,
    lines::{Line, Lines},
    output::Map,
};
use crate::{app::App, catalog::Outline};

/// How often clips that are not over are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
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
    watch: Watch<'a>,
    stop: &'a CancellationToken,
    summary: Summary,
    map: Option<Map>,
    over: u64,
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
    let mut lines = Lines::open(import).await?;
    let mut pass = Pass { import, app, watch, stop, summary, map, over: 0 };
    loop {
        let (rest, batch) = lines.next().await?;
        lines = rest;
        if batch.is_empty() {
            return pass.finish().map(Some);
        }
        if pass.batch(&batch).await?.is_none() {
            return Ok(None);
        }
    }
}

impl Pass<'_> {
    /// Waits until every clip of the batch is over. `None` if told to stop.
    async fn batch(&mut self, batch: &[Line]) -> Result<Option<()>, ImportError> {
        let mut pending: BTreeMap<u64, &Entry> = BTreeMap::new();
        for line in batch {
            match &line.entry {
                Ok(entry) => _ = pending.insert(line.number, entry),
                Err(_) => self.over += 1,
            }
        }
        let mut stored = BTreeMap::new();
        loop {
            self.look(&mut pending, &mut stored).await?;
            (self.watch)(Step::Over { lines: self.over, of: self.summary.lines });
            if pending.is_empty() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = self.stop.cancelled() => return Ok(None),
            }
        }
        if let Some(map) = &mut self.map {
            for (url, final_url) in stored.values() {
                map.add(url, final_url)?;
            }
        }
        Ok(Some(()))
    }

    /// Looks at the clips of the lines that are pending; counts those that are
    /// over and notes what is stored.
    async fn look<'e>(
        &mut self,
        pending: &mut BTreeMap<u64, &'e Entry>,
        stored: &mut BTreeMap<u64, (&'e str, String)>,
    ) -> Result<(), ImportError> {
        let known = Known::load(&*self.app.catalog, pending.values().copied()).await?;
        let now = self.app.clock.now();
        pending.retain(|number, entry| {
            // The first pass refused the line, and counted it.
            let Some(clip) = known.clip(entry, &self.import.defaults.provider) else {
                self.over += 1;
                return false;
            };
            let Some(fate) = self.fate(clip, *number, now) else { return true };
            self.count(fate);
            if matches!(fate, Fate::Kept | Fate::AlreadyKept) {
                stored.insert(*number, (entry.url.expose(), self.app.final_urls.of(&clip.key)));
            }
            false
        });
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
    use clipkeep_core::{id::Provider, secret::SourceUrl};

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
