//! Webhooks and registrations: load what they touch, let the batch judge,
//! write down what it marked.

use std::collections::BTreeMap;

use clipkeep_core::{
    event::Event,
    generation::{Clip, Generation, HookRecord},
    id::{ClipKey, Provider, RequestId, Tenant},
    input::Input,
};
use rusqlite::{Connection, named_params};

use super::{
    super::{
        HookOutcome, Registration, Result,
        adoption::{found, may_adopt},
        merge::{ClipChange, GenerationChange, GenerationId, MergeBatch, NewHistoryEntry},
        row::{self, select_clips, select_generations},
        rules::Rules,
        search::entries,
    },
    claims,
    find::{all, clip, first},
    search,
    sharing::retagged,
    unreads,
};

/// Commits webhooks together.
pub(super) fn hooks(tx: &Connection, rules: &Rules, hooks: &[HookRecord]) -> Result<Vec<HookOutcome>> {
    match record(tx, rules, hooks, false) {
        Err(error) if may_adopt(&error) => record(tx, rules, hooks, true),
        done => done,
    }
}

/// The same; looks for what may be adopted only if it is to.
fn record(tx: &Connection, rules: &Rules, hooks: &[HookRecord], adopts: bool) -> Result<Vec<HookOutcome>> {
    let (mut generations, mut clips) = (Vec::new(), Vec::new());
    let (mut key_owners, mut claims) = (BTreeMap::new(), Vec::new());
    for hook in hooks {
        let id = (hook.provider.clone(), hook.request_id.clone());
        load(tx, &id, &mut generations, &mut clips)?;
        if adopts {
            load(tx, &found(&id), &mut generations, &mut clips)?;
        }
        for new in &hook.clips {
            clips.extend(clip(tx, &new.key)?);
        }
        claims.extend(claims::of(tx, &id)?);
        key_owners.extend(key_owner(tx, &id.1)?);
        if !key_owners.contains_key(&id.1) {
            others(tx, &id, &mut generations)?;
        }
    }
    let mut batch = MergeBatch::new(rules, generations, clips, key_owners, claims);
    let outcomes = batch.merge_hooks(hooks)?;
    write(tx, &batch)?;
    Ok(outcomes)
}

pub(super) fn register(tx: &Connection, rules: &Rules, registration: &Registration) -> Result<Generation> {
    let id = (registration.provider.clone(), registration.request_id.clone());
    judged(tx, rules, &id, |batch| batch.register(registration))
}

/// Judges news of one generation by what is known of it.
pub(super) fn judged<T>(
    tx: &Connection,
    rules: &Rules,
    id: &GenerationId,
    judge: impl FnOnce(&mut MergeBatch<'_>) -> T,
) -> Result<T> {
    let (mut generations, mut clips) = (Vec::new(), Vec::new());
    load(tx, id, &mut generations, &mut clips)?;
    load(tx, &found(id), &mut generations, &mut clips)?;
    others(tx, id, &mut generations)?;
    let mut batch = MergeBatch::new(rules, generations, clips, key_owner(tx, &id.1)?, claims::of(tx, id)?);
    let judged = judge(&mut batch);
    write(tx, &batch)?;
    Ok(judged)
}

fn load(
    tx: &Connection,
    (provider, request_id): &GenerationId,
    generations: &mut Vec<Generation>,
    clips: &mut Vec<Clip>,
) -> Result<()> {
    const GENERATION: &str = select_generations!("WHERE provider = ?1 AND request_id = ?2");
    const CLIPS: &str = select_clips!("WHERE c.request_id = ?2 AND c.provider = ?1");
    let id = [provider.as_str(), request_id.as_str()];
    let known = first(tx, GENERATION, id, |row| row::generation(row))?;
    if known.is_some() {
        clips.extend(all(tx, CLIPS, id, |row| row::clip(row))?);
    }
    generations.extend(known);
    Ok(())
}

/// Who holds the names of this request id.
fn key_owner(tx: &Connection, request_id: &RequestId) -> Result<Option<(RequestId, Provider)>> {
    const SQL: &str = "SELECT request_id, provider FROM key_owners WHERE request_id = ?1";
    first(tx, SQL, [request_id.as_str()], |row| row::key_owner(row))
}

/// Other providers' generations of this request id.
fn others(tx: &Connection, (provider, request_id): &GenerationId, generations: &mut Vec<Generation>) -> Result<()> {
    const SQL: &str = select_generations!("WHERE request_id = ?2 AND provider NOT IN (?1, 'adopted')");
    generations.extend(all(tx, SQL, [provider.as_str(), request_id.as_str()], |row| row::generation(row))?);
    Ok(())
}

fn write(tx: &Connection, batch: &MergeBatch<'_>) -> Result<()> {
    for generation in batch.generations(GenerationChange::New) {
        write_generation(tx, NEW_GENERATION, generation)?;
    }
    for generation in batch.generations(GenerationChange::Changed) {
        write_generation(tx, CHANGED_GENERATION, generation)?;
    }
    for clip in batch.clips(ClipChange::New) {
        write_new_clip(tx, clip)?;
    }
    for clip in batch.clips(ClipChange::FactsChanged) {
        write_facts(tx, clip)?;
    }
    for clip in batch.clips(ClipChange::SourceReplaced) {
        write_facts(tx, clip)?;
        write_source(tx, clip)?;
    }
    search::write(tx, entries(batch))?;
    batch.unread.iter().try_for_each(|(id, unread)| unreads::write(tx, id, unread.as_ref()))?;
    batch.parents.iter().try_for_each(|(id, parent)| write_parent(tx, id, parent))?;
    for clip in batch.adopted_clips() {
        write_owner(tx, clip)?;
    }
    for (provider, request_id) in &batch.adoption.generations {
        const SQL: &str = "DELETE FROM generations WHERE provider = ?1 AND request_id = ?2";
        tx.prepare_cached(SQL)?.execute([provider.as_str(), request_id.as_str()])?;
    }
    for (request_id, provider) in batch.new_key_owners() {
        const SQL: &str = "INSERT INTO key_owners (request_id, provider) VALUES (?1, ?2)";
        tx.prepare_cached(SQL)?.execute([request_id.as_str(), provider.as_str()])?;
    }
    claims::write(tx, &batch.claims)?;
    retagged(tx, &batch.retagged)?;
    batch.history.iter().try_for_each(|line| append_history(tx, line))?;
    batch.events.iter().try_for_each(|event| emit(tx, event))
}

fn write_parent(tx: &Connection, (provider, request_id): &GenerationId, parent: &ClipKey) -> Result<()> {
    const SQL: &str = "INSERT INTO parents (provider, request_id, parent) \
        VALUES (?1, ?2, ifnull((SELECT key FROM clips WHERE was_key = ?3 LIMIT 1), ?3)) ON CONFLICT DO NOTHING";
    tx.prepare_cached(SQL)?.execute((provider.as_str(), request_id.as_str(), parent.as_str()))?;
    Ok(())
}

/// Writes down what the world is told.
pub(super) fn emit(tx: &Connection, event: &Event) -> Result<()> {
    const SQL: &str =
        "INSERT INTO events (at, type, provider, request_id, key, detail, tenant) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let Event { kind, at, generation, key, detail, tenant } = event;
    tx.prepare_cached(SQL)?.execute((
        at.millis(),
        kind.as_str(),
        generation.as_ref().map(|(provider, _)| provider.as_str()),
        generation.as_ref().map(|(_, request_id)| request_id.as_str()),
        key.as_ref().map(|key| key.as_str()),
        detail,
        tenant.as_ref().map(Tenant::as_str),
    ))?;
    Ok(())
}

/// Writes a line of history.
pub(super) fn append_history(tx: &Connection, line: &NewHistoryEntry) -> Result<()> {
    append_history_with_bytes(tx, line, None)
}

/// Writes a line of history that is about so many bytes.
pub(super) fn append_history_with_bytes(tx: &Connection, line: &NewHistoryEntry, bytes: Option<i64>) -> Result<()> {
    const SQL: &str = "INSERT INTO history (key, id, at, event, detail, bytes) \
        SELECT ?1, ifnull(max(id), 0) + 1, ?2, ?3, ?4, ?5 FROM history WHERE key = ?1";
    let NewHistoryEntry { key, at, event, detail } = line;
    tx.prepare_cached(SQL)?.execute((key.as_str(), at.millis(), event, detail, bytes))?;
    Ok(())
}

const NEW_GENERATION: &str = "INSERT INTO generations (provider, request_id, status, model, prompt, prompt_hash, \
    tenant, policy, input, seed, seed_beyond, public, error, created_at, completed_at, poll_at) \
    VALUES (:provider, :request_id, :status, :model, :prompt, :prompt_hash, \
    :tenant, :policy, :input, :seed, :seed_beyond, :public, :error, :created_at, :completed_at, :poll_at)";

/// `created_at` never changes; naming it lets both statements take the same values.
const CHANGED_GENERATION: &str = "UPDATE generations SET status = :status, model = :model, prompt = :prompt, \
    prompt_hash = :prompt_hash, tenant = :tenant, policy = :policy, input = :input, seed = :seed, seed_beyond = :seed_beyond, \
    public = :public, error = :error, created_at = :created_at, completed_at = :completed_at, \
    poll_at = :poll_at \
    WHERE provider = :provider AND request_id = :request_id";

fn write_generation(tx: &Connection, sql: &str, row: &Generation) -> Result<()> {
    let facts = &row.facts;
    tx.prepare_cached(sql)?.execute(named_params! {
        ":provider": row.provider.as_str(),
        ":request_id": row.request_id.as_str(),
        ":status": row.status.as_str(),
        ":model": facts.model,
        ":prompt": facts.prompt,
        ":prompt_hash": facts.prompt_hash,
        ":tenant": facts.tenant.as_ref().map(|tenant| tenant.as_str()),
        ":policy": facts.policy.map(|policy| policy.as_str()),
        ":input": facts.input.as_ref().map(Input::as_str),
        ":seed": facts.seed.map(|seed| seed.columns().0),
        ":seed_beyond": facts.seed.and_then(|seed| seed.columns().1),
        ":public": facts.public,
        ":error": row.error,
        ":created_at": row.created_at.millis(),
        ":completed_at": row.completed_at.map(|time| time.millis()),
        ":poll_at": row.poll_at.map(|time| time.millis()),
    })?;
    Ok(())
}

fn write_new_clip(tx: &Connection, row: &Clip) -> Result<()> {
    const SQL: &str = "INSERT INTO clips (key, provider, request_id, idx, slot, source_url, source_expires_at, \
        kind, content_type, state, policy, model, prompt_hash, tenant, seed, seed_beyond, epoch, created_at, due_at, queue_at, queued, \
        fence, attempts, model_at) VALUES (:key, :provider, :request_id, :idx, :slot, :source_url, :source_expires_at, \
        :kind, :content_type, :state, :policy, :model, :prompt_hash, :tenant, :seed, :seed_beyond, :epoch, :created_at, :due_at, :due_at, \
        0, 0, 0, CASE WHEN :model IS NOT NULL THEN :created_at END)";
    tx.prepare_cached(SQL)?.execute(named_params! {
        ":key": row.key.as_str(),
        ":provider": row.provider.as_str(),
        ":request_id": row.request_id.as_str(),
        ":idx": row.index,
        ":slot": row.slot,
        ":source_url": row.source_url.expose(),
        ":source_expires_at": row.source_expires_at.map(|time| time.millis()),
        ":kind": row.kind.as_str(),
        ":content_type": row.content_type,
        ":state": row.state.as_str(),
        ":policy": row.policy.as_str(),
        ":model": row.facts.model,
        ":prompt_hash": row.facts.prompt_hash,
        ":tenant": row.facts.tenant.as_ref().map(|tenant| tenant.as_str()),
        ":seed": row.facts.seed.map(|seed| seed.columns().0),
        ":seed_beyond": row.facts.seed.and_then(|seed| seed.columns().1),
        ":epoch": row.epoch,
        ":created_at": row.created_at.millis(),
        ":due_at": row.due_at.map(|time| time.millis()),
    })?;
    Ok(())
}

fn write_facts(tx: &Connection, row: &Clip) -> Result<()> {
    const SQL: &str = "UPDATE clips SET model = :model, prompt_hash = :prompt_hash, tenant = :tenant, \
        seed = :seed, seed_beyond = :seed_beyond, policy = :policy, due_at = :due_at, \
        queue_at = CASE state WHEN 'waiting' THEN :due_at ELSE queue_at END, \
        queued = CASE state WHEN 'waiting' THEN 0 ELSE queued END WHERE key = :key";
    tx.prepare_cached(SQL)?.execute(named_params! {
        ":key": row.key.as_str(),
        ":model": row.facts.model,
        ":prompt_hash": row.facts.prompt_hash,
        ":tenant": row.facts.tenant.as_ref().map(|tenant| tenant.as_str()),
        ":seed": row.facts.seed.map(|seed| seed.columns().0),
        ":seed_beyond": row.facts.seed.and_then(|seed| seed.columns().1),
        ":policy": row.policy.as_str(),
        ":due_at": row.due_at.map(|time| time.millis()),
    })?;
    Ok(())
}

/// Writes down whose a clip is that was adopted.
fn write_owner(tx: &Connection, row: &Clip) -> Result<()> {
    const SQL: &str =
        "UPDATE clips SET provider = ?2, slot = ?3, source_url = ?4, source_expires_at = ?5 WHERE key = ?1";
    let expires_at = row.source_expires_at.map(|time| time.millis());
    let params = (row.key.as_str(), row.provider.as_str(), &row.slot, row.source_url.expose(), expires_at);
    tx.prepare_cached(SQL)?.execute(params)?;
    Ok(())
}

fn write_source(tx: &Connection, row: &Clip) -> Result<()> {
    const SQL: &str = "UPDATE clips SET slot = :slot, source_url = :source_url, \
        source_expires_at = :source_expires_at, kind = :kind, content_type = :content_type, state = 'waiting', \
        epoch = :epoch, due_at = :due_at, queue_at = :due_at, queued = 0, lease_node = NULL, lease_until = NULL, \
        fence = fence + 1, attempts = 0, misses = 0, vanished = 0, reached = 0, refused = NULL, \
        returned = :returned, at_risk_reported = 0, last_error = NULL, restarted_at = :restarted_at, size = NULL, sha256 = NULL, sealed_kind = NULL, \
        sealed_content_type = NULL, duration = NULL, width = NULL, height = NULL, fps = NULL, codec = NULL, c2pa = NULL, served_type = NULL, view = NULL, version = NULL, was_sha256 = NULL \
        WHERE key = :key";
    tx.prepare_cached(SQL)?.execute(named_params! {
        ":key": row.key.as_str(),
        ":slot": row.slot,
        ":source_url": row.source_url.expose(),
        ":source_expires_at": row.source_expires_at.map(|time| time.millis()),
        ":kind": row.kind.as_str(),
        ":content_type": row.content_type,
        ":epoch": row.epoch,
        ":returned": row.returned,
        ":restarted_at": row.restarted_at.map(|time| time.millis()),
        ":due_at": row.due_at.map(|time| time.millis()),
    })?;
    Ok(())
}
