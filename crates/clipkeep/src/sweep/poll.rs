//! Webhooks that never came: the provider is asked for generations that are
//! without an end for too long.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use clipkeep_core::{
    backoff,
    generation::{Facts, Hearsay, HookRecord, Origin},
    hook::{Decoded, profile},
    id::{Provider, Tenant},
    state::GenerationStatus,
};
use futures_util::future::join_all;
use serde::Serialize;

use super::Sweep;
use crate::{
    catalog::{CatalogError, Fault, HookOutcome, polls::Poll},
    fill::random,
    provider::{Status, StatusError},
};

/// How many generations are claimed at once, to be asked for side by side, and
/// how many in one round.
const BATCH: u32 = 8;
const MAX_PER_ROUND: u64 = 5_000;

/// How old a generation is, at least, when it is given up as unknown: a submit
/// and its registration may be quicker than fal's own books.
const UNKNOWN_FOR: Duration = Duration::from_secs(600);

/// How many of a tenant's claims may turn out in a round to be of nothing, before
/// its others wait for the next ones: all share the key that is asked with, and
/// ids are quickly made up.
const UNKNOWN_A_ROUND: u32 = 32;
/// How many claims may be put behind in a round.
const MAX_BEHIND: u64 = 50_000;
/// How many doublings of the pause a claim begins with that the provider does not
/// know: it is a submit's race with the provider's books, or made up.
const UNKNOWN_STEPS: u32 = 5;

/// The longest that a `Retry-After` is followed.
const MAX_POLL_DELAY: Duration = Duration::from_secs(3600);

/// What asking brought. Each that was asked for is in one of the next six.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PollReport {
    /// Generations that were asked for.
    pub asked: u64,
    pub completed: u64,
    /// They failed, by the provider's word.
    pub failed: u64,
    /// They have a result that is not understood.
    pub unreadable: u64,
    /// They were given up: too old, or unknown to the provider.
    pub given_up: u64,
    pub running: u64,
    /// The provider did not say; they are asked for again.
    pub later: u64,
    /// New clips among their results.
    pub clips: u64,
    /// Claims that wait, since too many of their tenants' were of nothing.
    pub behind: u64,
    /// Generations that cannot be asked for: no model is known that leads to
    /// them. Counted once a round.
    pub unasked: u64,
}

/// Asks for all that are due, within bounds.
pub(super) async fn run(sweep: &Sweep, report: &mut PollReport) -> Result<(), CatalogError> {
    let parts = &sweep.parts;
    report.unasked = parts.catalog.count_unasked().await?;
    let (mut done, mut why) = (Ok(()), None);
    // Providers that refuse our key, and their words: they would refuse all others, too.
    let mut refusals = BTreeMap::new();
    let mut claims = Claims::default();
    // What is put off is for a later round, however soon it is due.
    let began = parts.clock.now();
    while report.asked < MAX_PER_ROUND && report.behind < MAX_BEHIND && done.is_ok() {
        let now = parts.clock.now();
        // A node that is killed here must not keep them from the others for long.
        // One that is only slow is asked beside, which changes nothing.
        let hold = now.plus(parts.settings.lease);
        let polls = parts.catalog.claim_polls(began, hold, BATCH).await?;
        if polls.is_empty() {
            break;
        }
        let (polls, behind): (Vec<_>, Vec<_>) = polls.into_iter().partition(|poll| claims.has_room(poll));
        for poll in &behind {
            let pause = parts.settings.interval.saturating_mul(claims.put_behind(poll));
            parts.catalog.poll_later(poll, parts.clock.now().plus(pause), None, poll.error.as_deref()).await?;
            report.behind += 1;
        }
        let ends = join_all(polls.iter().map(|poll| one(sweep, poll, &refusals))).await;
        for (poll, end) in polls.iter().zip(ends) {
            match end {
                Ok(end) => {
                    report.count(sweep, &end);
                    claims.note(poll, &end);
                    if let Some(words) = end.why.clone().filter(|_| end.is_refused) {
                        refusals.insert(poll.generation.provider.clone(), words);
                    }
                    why = end.why.or(why);
                }
                Err(error) => done = Err(error),
            }
        }
    }
    if report.clips > 0 {
        parts.engine.wake();
    }
    if let Some(why) = why {
        tracing::warn!(polls = report.later, why, "polls brought nothing, the last of them for this reason");
    }
    done
}

/// What a round found of tenants' bare claims.
#[derive(Default)]
struct Claims(HashMap<Tenant, Found>);

/// Of one tenant's: how many were of nothing, and how many wait for that.
#[derive(Default)]
struct Found {
    unknown: u32,
    behind: u32,
}

impl Claims {
    fn of(&mut self, poll: &Poll) -> Option<&mut Found> {
        let tenant = poll.generation.facts.tenant.clone().filter(|_| poll.is_claim)?;
        Some(self.0.entry(tenant).or_default())
    }

    fn has_room(&mut self, poll: &Poll) -> bool {
        self.of(poll).is_none_or(|found| found.unknown < UNKNOWN_A_ROUND)
    }

    fn note(&mut self, poll: &Poll, end: &End) {
        if let Some(found) = self.of(poll).filter(|_| end.is_unknown) {
            found.unknown += 1;
        }
    }

    /// In how many rounds it is this one's turn, one share after the other.
    fn put_behind(&mut self, poll: &Poll) -> u32 {
        let behind = self.of(poll).map_or(0, |found| {
            found.behind += 1;
            found.behind
        });
        behind.div_ceil(UNKNOWN_A_ROUND)
    }
}

/// What asking for one generation brought.
#[derive(Default)]
struct End {
    word: &'static str,
    clips: u64,
    is_refused: bool,
    /// The provider does not know it.
    is_unknown: bool,
    /// Why it was put off.
    why: Option<String>,
}

impl PollReport {
    fn count(&mut self, sweep: &Sweep, end: &End) {
        self.asked += 1;
        self.clips += end.clips;
        match end.word {
            COMPLETED => self.completed += 1,
            FAILED => self.failed += 1,
            UNREADABLE => self.unreadable += 1,
            GIVEN_UP => self.given_up += 1,
            RUNNING => self.running += 1,
            _ => self.later += 1,
        }
        sweep.parts.metrics.polled(end.word);
    }
}

const COMPLETED: &str = "completed";
const FAILED: &str = "failed";
const UNREADABLE: &str = "unreadable";
const GIVEN_UP: &str = "given_up";
const RUNNING: &str = "running";
const LATER: &str = "later";

/// No end yet, and why.
#[derive(Default)]
struct NotYet {
    fault: Option<Fault>,
    why: Option<String>,
    after: Option<Duration>,
    is_refused: bool,
    /// It did not say anything of this generation.
    is_away: bool,
}

impl NotYet {
    fn because(why: impl ToString) -> Self {
        Self { why: Some(why.to_string()), ..Self::default() }
    }
}

/// Who refuses our key, and in which words.
type Refusals = BTreeMap<Provider, String>;

/// Asks for one and writes down what that brought. Killed before that, it is
/// asked for again; killed after it, it is over.
async fn one(sweep: &Sweep, poll: &Poll, refusals: &Refusals) -> Result<End, CatalogError> {
    let asked = match refusals.get(&poll.generation.provider) {
        Some(words) => Err(NotYet { is_refused: true, is_away: true, ..NotYet::because(words) }),
        None => ask(sweep, poll).await,
    };
    let not_yet = match asked {
        Ok(decoded) => {
            let word = match decoded.record.status {
                GenerationStatus::Completed => COMPLETED,
                GenerationStatus::Unreadable => UNREADABLE,
                _ => FAILED,
            };
            match commit(sweep, decoded, word).await {
                // Another provider's generation has its name: nothing to be done here.
                Err(taken @ CatalogError::KeyTaken { .. }) => NotYet::because(taken),
                done => return done,
            }
        }
        Err(not_yet) => not_yet,
    };
    if let Some(record) = give_up(sweep, poll, &not_yet) {
        let decoded = Decoded { record, inlines: Vec::new(), notes: Vec::new() };
        let is_unknown = not_yet.fault == Some(Fault::Source);
        return commit(sweep, decoded, GIVEN_UP).await.map(|end| End { is_unknown, ..end });
    }
    put_off(sweep, poll, not_yet).await
}

/// Asks; answers what a webhook would have brought.
async fn ask(sweep: &Sweep, poll: &Poll) -> Result<Decoded, NotYet> {
    let provider = &poll.generation.provider;
    let Some(adapter) = sweep.parts.providers.named(provider.as_str()) else {
        return Err(NotYet::because("nobody knows how to ask its provider"));
    };
    let decoded = match adapter.fetch_status(&poll.generation, sweep.parts.clock.now()).await {
        Ok(Status::Ended(decoded)) => decoded,
        Ok(Status::Running) => return Err(NotYet::default()),
        Ok(Status::Unknown) => {
            let unknown = NotYet::because(format!("{provider} does not know it, or not any more"));
            return Err(NotYet { fault: Some(Fault::Source), ..unknown });
        }
        Err(error) => return Err(no_answer(&error)),
    };
    match decoded.record.status {
        GenerationStatus::Completed | GenerationStatus::Failed | GenerationStatus::Unreadable => Ok(*decoded),
        _ => Err(NotYet { why: decoded.record.error, ..NotYet::default() }),
    }
}

fn no_answer(error: &StatusError) -> NotYet {
    let after = match error {
        StatusError::Away { after, .. } => *after,
        _ => None,
    };
    let is_refused = matches!(error, StatusError::Refused { .. });
    // What cannot be read is its word all the same.
    let is_away = !matches!(error, StatusError::Unread(_) | StatusError::NoPlace);
    NotYet { after, is_refused, is_away, ..NotYet::because(error) }
}

/// Commits by the webhooks' own way, so that a webhook that comes after all
/// brings nothing new.
async fn commit(sweep: &Sweep, decoded: Decoded, word: &'static str) -> Result<End, CatalogError> {
    let record = &decoded.record;
    if let Some(why) = record.error.as_ref().filter(|_| record.status == GenerationStatus::Failed) {
        tracing::warn!(request_id = %record.request_id, why, "a generation failed");
    }
    let clips = match sweep.parts.intake.record(&decoded).await? {
        HookOutcome::Recorded { clips } => clips.len() as u64,
        // Its webhook was faster by a moment.
        HookOutcome::Duplicate => 0,
    };
    Ok(End { word, clips, ..End::default() })
}

/// The end of a generation that is too old, or that the provider does not know.
/// A provider that is away, or that refuses our key, has said nothing of it: the
/// first gets its tries, whatever the age, and the second is for people to mend.
fn give_up(sweep: &Sweep, poll: &Poll, not_yet: &NotYet) -> Option<HookRecord> {
    let (settings, now) = (&sweep.parts.settings, sweep.parts.clock.now());
    let age = now.since(poll.generation.created_at);
    let missed = not_yet.fault == Some(Fault::Source) && poll.misses + 1 >= settings.not_found_attempts;
    let is_unknown = missed && age >= UNKNOWN_FOR.min(settings.poll_timeout);
    let was_asked = !not_yet.is_away || poll.polls >= settings.not_found_attempts;
    let is_too_old = age >= settings.poll_timeout && was_asked;
    if not_yet.is_refused || !(is_unknown || is_too_old) {
        return None;
    }
    let last = not_yet.why.as_deref().or(poll.error.as_deref()).unwrap_or("it has not ended there");
    let secs = age.as_secs();
    Some(HookRecord {
        provider: poll.generation.provider.clone(),
        request_id: poll.generation.request_id.clone(),
        // What is kept unread stays so; it is only not asked for any more.
        status: match poll.generation.status {
            GenerationStatus::Unreadable => GenerationStatus::Unreadable,
            _ => GenerationStatus::Failed,
        },
        error: Some(format!("no result came in {secs} s, asked for {} times: {last}", poll.polls)),
        facts: Facts::default(),
        hearsay: Hearsay::default(),
        clips: Vec::new(),
        unread: None,
        received_at: now,
        created_at: None,
        origin: Origin::Nobody,
    })
}

async fn put_off(sweep: &Sweep, poll: &Poll, not_yet: NotYet) -> Result<End, CatalogError> {
    let (parts, settings) = (&sweep.parts, &sweep.parts.settings);
    let NotYet { fault, why, after, is_refused, .. } = not_yet;
    let within = profile(&poll.generation.provider).and_then(|profile| profile.ask_within);
    let longest = settings.retry_max.min(within.unwrap_or(Duration::MAX));
    let is_unknown = fault == Some(Fault::Source);
    let tries = match poll.is_claim && is_unknown {
        true => poll.polls.saturating_mul(2).saturating_add(UNKNOWN_STEPS),
        false => poll.polls,
    };
    let pause = backoff::delay(tries, settings.retry_base.min(longest), longest, random());
    let due = parts.clock.now().plus(pause.max(after.unwrap_or_default().min(MAX_POLL_DELAY)));
    tracing::debug!(request_id = %poll.generation.request_id, why, polls = poll.polls, "no end yet");
    parts.catalog.poll_later(poll, due, fault, why.as_deref()).await?;
    Ok(End { word: if why.is_some() { LATER } else { RUNNING }, clips: 0, is_refused, is_unknown, why })
}
