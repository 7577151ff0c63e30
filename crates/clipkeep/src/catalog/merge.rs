//! What news does to what is known: the rules of [`super::Catalog::record_hooks`]
//! and [`super::Catalog::register`], once for both databases. A database loads
//! the rows that the news touches into a [`MergeBatch`], lets it judge, and writes
//! down what it marked, all in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use clipkeep_core::{
    event::{Event, EventType},
    generation::{Clip, Facts, Generation, HookRecord, NewClip, Origin, Poster},
    history,
    id::{ClipKey, Provider, RequestId},
    policy::Policy,
    secret::SourceUrl,
    state::{ClipState, GenerationStatus},
    time::Timestamp,
};

use super::{
    HookOutcome, Registration, Result,
    adoption::Adoption,
    claims::Claims,
    events::{clip_event, generation_ended},
    restart::announced_again,
    rules::{Rules, poll_at},
    unreads::UnreadResult,
};

/// What became of a generation's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GenerationChange {
    Unchanged,
    /// It is not in the database yet.
    New,
    /// Its status or its facts changed.
    Changed,
}

/// What became of a clip's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ClipChange {
    Unchanged,
    /// Its generation's facts changed, and with them perhaps when it is due.
    FactsChanged,
    /// It has another source and starts over.
    SourceReplaced,
    /// It is not in the database yet.
    New,
}

/// A line of history to be written.
#[derive(Debug)]
pub(crate) struct NewHistoryEntry {
    pub(crate) key: ClipKey,
    pub(crate) at: Timestamp,
    pub(crate) event: &'static str,
    pub(crate) detail: Option<String>,
}

/// How a generation is known.
pub(crate) type GenerationId = (Provider, RequestId);

/// The rows that some news touches. Sorted, so that all transactions lock and
/// write rows in the same order.
pub(crate) struct MergeBatch<'a> {
    pub(super) rules: &'a Rules,
    pub(super) generations: BTreeMap<GenerationId, (Generation, GenerationChange)>,
    pub(super) clips: BTreeMap<ClipKey, (Clip, ClipChange)>,
    pub(crate) adoption: Adoption,
    /// What is added to histories, oldest first.
    pub(crate) history: Vec<NewHistoryEntry>,
    /// What the world is told, oldest first.
    pub(crate) events: Vec<Event>,
    /// Which of our clips stand in a generation's input.
    pub(crate) parents: BTreeSet<(GenerationId, ClipKey)>,
    /// Results that are kept unread from now on, or no more.
    pub(crate) unread: BTreeMap<GenerationId, Option<UnreadResult>>,
    /// Clips whose tenant or model became known, and when.
    pub(crate) retagged: Vec<(ClipKey, Timestamp)>,
    /// Who holds the clip names of a request id; and those that are new.
    pub(super) key_owners: BTreeMap<RequestId, Provider>,
    pub(super) new_key_owners: BTreeMap<RequestId, Provider>,
    /// What tenants say of these generations by their own word.
    pub(crate) claims: Claims,
}

impl<'a> MergeBatch<'a> {
    pub(crate) fn new(
        rules: &'a Rules,
        generations: impl IntoIterator<Item = Generation>,
        clips: impl IntoIterator<Item = Clip>,
        key_owners: impl IntoIterator<Item = (RequestId, Provider)>,
        claims: impl IntoIterator<Item = Generation>,
    ) -> Self {
        let by_id =
            |row: Generation| ((row.provider.clone(), row.request_id.clone()), (row, GenerationChange::Unchanged));
        let by_key = |row: Clip| (row.key.clone(), (row, ClipChange::Unchanged));
        Self {
            rules,
            generations: generations.into_iter().map(by_id).collect(),
            clips: clips.into_iter().map(by_key).collect(),
            adoption: Adoption::default(),
            history: Vec::new(),
            events: Vec::new(),
            parents: BTreeSet::new(),
            unread: BTreeMap::new(),
            retagged: Vec::new(),
            key_owners: key_owners.into_iter().collect(),
            new_key_owners: BTreeMap::new(),
            claims: claims.into_iter().collect(),
        }
    }

    pub(crate) fn generations(&self, mark: GenerationChange) -> impl Iterator<Item = &Generation> {
        self.generations.values().filter(move |(_, its)| *its == mark).map(|(row, _)| row)
    }

    pub(crate) fn clips(&self, mark: ClipChange) -> impl Iterator<Item = &Clip> {
        self.clips.values().filter(move |(_, its)| *its == mark).map(|(row, _)| row)
    }

    /// The clips that are new or changed.
    pub(crate) fn touched(&self) -> impl Iterator<Item = &Clip> {
        self.clips.values().filter(|(_, its)| *its != ClipChange::Unchanged).map(|(row, _)| row)
    }

    /// Takes in webhooks, in order.
    pub(crate) fn merge_hooks(&mut self, hooks: &[HookRecord]) -> Result<Vec<HookOutcome>> {
        hooks.iter().map(|hook| self.merge_hook(hook)).collect()
    }

    fn merge_hook(&mut self, hook: &HookRecord) -> Result<HookOutcome> {
        let id = (hook.provider.clone(), hook.request_id.clone());
        let hook = &*self.trusted_hook(&id, hook);
        if hook.origin == Origin::Nobody && self.is_only_claimed(&id) {
            return Ok(self.end_claimed(&id, hook));
        }
        let adopted = self.adopt_found(&id, hook.received_at);
        self.refuse_taken_keys(&id, hook)?;
        self.confirm(&id, &hook.facts, hook.received_at);
        let facts = &*self.with_claim(&id, &hook.facts);
        self.link_parents(&id, facts);
        let before = self.generations.get(&id).map(|(row, _)| (row.status, row.created_at));
        let news = Generation {
            provider: hook.provider.clone(),
            request_id: hook.request_id.clone(),
            status: hook.status,
            facts: self.rules.storable(facts),
            error: hook.error.as_deref().map(without_nul),
            created_at: made_at(hook),
            completed_at: (hook.status != GenerationStatus::Pending).then_some(hook.received_at),
            poll_at: hook.unread.as_ref().filter(|unread| unread.is_to_be_asked).map(|_| hook.received_at),
        };
        let adopts = hook.clips.iter().any(|clip| clip.source_url.is_own_store());
        let changed = self.merge_generation(&id, news, adopts);
        self.keep_unread(&id, hook, before.map(|(status, _)| status), changed);
        let mut clips = Vec::new();
        for clip in &self.outputs(&id, hook) {
            if self.merge_clip(&id, clip, hook, before) && !clips.contains(&clip.key) {
                clips.push(clip.key.clone());
            }
        }
        if !changed && !adopted && clips.is_empty() {
            return Ok(HookOutcome::Duplicate);
        }
        Ok(HookOutcome::Recorded { clips })
    }

    /// Takes in what is said of a generation.
    pub(super) fn merge_registration(&mut self, registration: &Registration) -> Generation {
        let Registration { provider, request_id, facts, at } = registration;
        let id = (provider.clone(), request_id.clone());
        self.adopt_found(&id, *at);
        self.link_parents(&id, facts);
        let news = Generation {
            provider: provider.clone(),
            request_id: request_id.clone(),
            status: GenerationStatus::Pending,
            facts: self.rules.storable(facts),
            error: None,
            created_at: *at,
            completed_at: None,
            poll_at: None,
        };
        if self.merge_generation(&id, news.clone(), false) {
            let of_it = self.clips.values().filter(|(clip, _)| is_of(clip, &id));
            let registered = |key| NewHistoryEntry { key, at: *at, event: "registered", detail: None };
            self.history.extend(of_it.map(|(clip, _)| registered(clip.key.clone())));
        }
        self.generations.get(&id).map_or(news, |(row, _)| row.clone())
    }

    /// Merges news of a generation; answers whether it was news. One that
    /// `adopts`, or did before, is never asked for: its clip is its outcome.
    fn merge_generation(&mut self, id: &GenerationId, mut news: Generation, adopts: bool) -> bool {
        let at = news.completed_at.unwrap_or(news.created_at);
        let adopts = adopts || self.clips.values().any(|(clip, _)| is_of(clip, id) && clip.source_url.is_own_store());
        let rules = self.rules;
        if self.is_forgotten(id) {
            news.facts = Facts { prompt: None, input: None, ..news.facts };
        }
        let poll_at = |known: Option<&Generation>, row: &Generation| match adopts {
            true => None,
            false => poll_at(rules, known, row, at),
        };
        let Some((known, mark)) = self.generations.get_mut(id) else {
            self.events.extend(generation_ended(&news, at));
            news.poll_at = poll_at(None, &news);
            self.generations.insert(id.clone(), (news, GenerationChange::New));
            return true;
        };
        let asked_for = news.poll_at;
        let mut merged = Generation { poll_at: asked_for, ..merge(known, news) };
        merged.poll_at = poll_at(Some(known), &merged);
        if merged == *known {
            return false;
        }
        let facts = (merged.facts != known.facts).then(|| merged.facts.clone());
        if merged.status != known.status {
            self.events.extend(generation_ended(&merged, at));
        }
        *known = merged;
        if *mark == GenerationChange::Unchanged {
            *mark = GenerationChange::Changed;
        }
        if let Some(facts) = facts {
            self.propagate_facts(id, &facts, at);
        }
        true
    }

    /// Notes which of our clips it was made from, by the input that is kept of
    /// it, or would be if inputs were.
    fn link_parents(&mut self, id: &GenerationId, facts: &Facts) {
        let had_input = self.generations.get(id).is_some_and(|(row, _)| row.facts.input.is_some());
        if let Some(input) = facts.input.as_ref().filter(|_| !had_input) {
            let parents = self.rules.own_urls.parents(&input.value(), &id.1);
            self.parents.extend(parents.into_iter().map(|key| (id.clone(), key)));
        }
    }

    /// Hands changed facts down to the generation's known clips. One whose fill
    /// was not started yet follows a changed policy.
    pub(super) fn propagate_facts(&mut self, id: &GenerationId, facts: &Facts, at: Timestamp) {
        let policy = self.policy(facts);
        for (clip, mark) in self.clips.values_mut().filter(|(clip, _)| is_of(clip, id)) {
            let untouched = clip.state == ClipState::Waiting && clip.attempts == 0;
            if untouched && clip.policy != policy && clip.source_url.has_url() {
                clip.due_at = self.rules.due_at(policy, clip.created_at, clip.source_expires_at);
            }
            // Nodes account its bytes to its tenant.
            if clip.facts.public != facts.public || clip.facts.tenant != facts.tenant {
                self.events.push(clip_event(clip, EventType::ClipRevised, at));
            }
            if clip.facts.tenant != facts.tenant || clip.facts.model != facts.model {
                self.retagged.push((clip.key.clone(), at));
            }
            clip.policy = policy;
            clip.facts = facts.clone();
            *mark = (*mark).max(ClipChange::FactsChanged);
        }
    }

    /// Takes in a clip that a webhook announced; answers whether it is new or
    /// has a new source. `before` is its generation's status and first hearing
    /// before this webhook, if it was known.
    fn merge_clip(
        &mut self,
        id: &GenerationId,
        new: &NewClip,
        hook: &HookRecord,
        before: Option<(GenerationStatus, Timestamp)>,
    ) -> bool {
        let at = hook.received_at;
        let source_url = SourceUrl::new(without_nul(new.source_url.expose()));
        let expires_at = self.expires_at(id, new, hook);
        self.propagate_source(new, expires_at);
        if let Some((known, mark)) = self.clips.get_mut(&new.key) {
            let detail = Some(format!("was {}", known.state));
            let Some(event) = announced_again(known, new, source_url, expires_at, at) else { return false };
            *mark = (*mark).max(ClipChange::SourceReplaced);
            self.history.push(NewHistoryEntry { key: new.key.clone(), at, event, detail });
            return true;
        }
        if let Some((GenerationStatus::Pending, registered_at)) = before {
            let key = new.key.clone();
            self.history.push(NewHistoryEntry { key, at: registered_at, event: "registered", detail: None });
        }
        let clip = self.clip(id, new, source_url, hook);
        let how = history::describe_origin(hook.origin, &new.slot, before.map(|(status, _)| status));
        let detail = Some(format!("{}, {}{how}", clip.kind, clip.policy));
        let line = NewHistoryEntry { key: new.key.clone(), at, event: "received", detail };
        self.history.push(if clip.source_url.is_own_store() {
            NewHistoryEntry { event: "adopting", ..line }
        } else {
            line
        });
        self.clips.insert(new.key.clone(), (clip, ClipChange::New));
        true
    }

    fn clip(&self, id: &GenerationId, new: &NewClip, source_url: SourceUrl, hook: &HookRecord) -> Clip {
        let facts = self.generations.get(id).map(|(row, _)| row.facts.clone()).unwrap_or_default();
        let (policy, created_at) = (self.policy(&facts), made_at(hook));
        let source_expires_at = self.expires_at(id, new, hook);
        let due = self.rules.due_at(policy, created_at, source_expires_at);
        // What is in our own store already is never waited for.
        let adopting = (!source_url.has_url()).then_some(hook.received_at);
        Clip {
            key: new.key.clone(),
            was_key: None,
            provider: id.0.clone(),
            request_id: id.1.clone(),
            index: new.index,
            slot: without_nul(&new.slot),
            state: ClipState::Waiting,
            policy,
            source_url,
            source_expires_at,
            facts,
            kind: new.kind,
            content_type: without_nul(&new.content_type),
            sealed: None,
            epoch: 1,
            created_at,
            stored_at: None,
            // What is old but new to us does not go before what came meanwhile.
            due_at: adopting.or_else(|| due.map(|due| due.max(hook.received_at))),
            attempts: 0,
            misses: 0,
            vanished: 0,
            returned: 0,
            version: None,
            view: None,
            served_type: None,
            last_error: None,
            restarted_at: None,
            verified_at: None,
            link_generation: 0,
            object_key: None,
            poster: Poster::default(),
        }
    }

    /// When the source of a clip is expected to vanish: as it is said of this
    /// one, or else as sources of its provider and model do.
    fn expires_at(&self, id: &GenerationId, new: &NewClip, hook: &HookRecord) -> Option<Timestamp> {
        let of_generation = || {
            let model = self.generations.get(id).and_then(|(row, _)| row.facts.model.as_deref());
            let lifetime = self.rules.lifetimes.of(&id.0, model).filter(|_| new.source_url.has_url())?;
            Some(made_at(hook).plus(lifetime))
        };
        new.source_expires_at.or_else(of_generation)
    }

    fn policy(&self, facts: &Facts) -> Policy {
        self.rules.policies.resolve(facts.policy, facts.model.as_deref(), facts.tenant.as_ref())
    }
}

fn made_at(hook: &HookRecord) -> Timestamp {
    hook.created_at.unwrap_or(hook.received_at).min(hook.received_at)
}

pub(super) fn is_of(clip: &Clip, (provider, request_id): &GenerationId) -> bool {
    clip.provider == *provider && clip.request_id == *request_id
}

/// What is known of a generation after news of it.
pub(super) fn merge(known: &Generation, news: Generation) -> Generation {
    let mut merged = known.clone();
    // What is there first stays; what is missing is filled in.
    merged.facts = known.facts.clone().or(news.facts);
    merged.status = known.status.after(news.status);
    if merged.status != known.status {
        merged.error = news.error;
        merged.completed_at = news.completed_at;
    } else if merged.status == news.status && merged.error.is_none() {
        merged.error = news.error;
    }
    merged
}

/// PostgreSQL's text cannot hold NUL, and a webhook must not fail for it.
pub(super) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
