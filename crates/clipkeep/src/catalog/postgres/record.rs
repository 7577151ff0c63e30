//! Webhooks and registrations: load what they touch, let the batch judge,
//! write down what it marked. A handful of round trips, however many webhooks:
//! rows travel as one JSON array per statement.

use std::collections::BTreeSet;

use clipkeep_core::{
    event::Event,
    generation::{Clip, Generation, HookRecord},
    id::ClipKey,
    input::Input,
};
use deadpool_postgres::{GenericClient, Object, Transaction};
use serde_json::{Value, json};

use super::{
    super::{
        HookOutcome, Registration, Result,
        adoption::{found, may_adopt},
        claims::ClaimId,
        merge::{ClipChange, GenerationChange, GenerationId, MergeBatch, NewHistoryEntry},
        row::{self, select_claims, select_clips, select_generations},
        rules::Rules,
        search::{Entry, entries},
        submissions::SubmitCall,
    },
    find::all,
    pool::{Overtaken, may_run_again},
    sharing::retagged,
    unreads,
};
use crate::catalog::CatalogError;

/// How often a transaction runs that others keep overtaking.
const TRIES: usize = 5;

/// Commits webhooks together.
pub(super) async fn hooks(mut client: Object, rules: &Rules, hooks: &[HookRecord]) -> Result<Vec<HookOutcome>> {
    let ids: BTreeSet<_> = hooks.iter().map(|hook| (hook.provider.clone(), hook.request_id.clone())).collect();
    let keys: Vec<&str> = hooks.iter().flat_map(|hook| &hook.clips).map(|clip| clip.key.as_str()).collect();
    match again(&mut client, rules, &ids, &keys, |batch| batch.merge_hooks(hooks)).await {
        // Only now look for what may be adopted.
        Err(error) if may_adopt(&error) => {
            let ids = ids.iter().map(found).chain(ids.iter().cloned()).collect();
            again(&mut client, rules, &ids, &keys, |batch| batch.merge_hooks(hooks)).await
        }
        done => done,
    }
}

pub(super) async fn register(client: Object, rules: &Rules, registration: &Registration) -> Result<Generation> {
    let id = (registration.provider.clone(), registration.request_id.clone());
    judged(client, rules, id, |batch| batch.register(registration)).await
}

/// Judges news of one generation by what is known of it, and of what it may take
/// over.
pub(super) async fn judged<T>(
    mut client: Object,
    rules: &Rules,
    id: GenerationId,
    judge: impl Fn(&mut MergeBatch<'_>) -> T,
) -> Result<T> {
    again(&mut client, rules, &BTreeSet::from([found(&id), id]), &[], |batch| Ok(judge(batch))).await
}

/// The generation, and what it may take over.
fn registered(registration: &Registration) -> BTreeSet<GenerationId> {
    let id = (registration.provider.clone(), registration.request_id.clone());
    BTreeSet::from([found(&id), id])
}

/// Registers a generation, and that it came of this call.
pub(super) async fn register_submit(
    mut client: Object,
    rules: &Rules,
    call: &SubmitCall,
    registration: &Registration,
) -> Result<Generation> {
    const SQL: &str = "UPDATE submissions SET provider = $3, request_id = $4 WHERE caller = $1 AND key = $2";
    let ids = registered(registration);
    let mut tries = 1;
    loop {
        let once = async |client: &mut Object| {
            let tx = client.transaction().await?;
            let generation = within(&tx, rules, &ids, &[], &|batch| Ok(batch.register(registration))).await?;
            let (provider, request_id) = (registration.provider.as_str(), registration.request_id.as_str());
            let statement = tx.prepare_cached(SQL).await?;
            tx.execute(&statement, &[&call.caller, &call.key, &provider, &request_id]).await?;
            tx.commit().await?;
            Ok(generation)
        };
        match once(&mut client).await {
            Err(error) if tries < TRIES && may_run_again(&error) => tries += 1,
            done => return done,
        }
    }
}

/// Runs the transaction until nobody overtakes it. Rows that exist are locked
/// before they are judged; rows that do not cannot be, so a transaction that
/// finds them made meanwhile starts over and then sees them.
async fn again<T>(
    client: &mut Object,
    rules: &Rules,
    ids: &BTreeSet<GenerationId>,
    keys: &[&str],
    judge: impl Fn(&mut MergeBatch<'_>) -> Result<T>,
) -> Result<T> {
    let mut tries = 1;
    loop {
        match once(client, rules, ids, keys, &judge).await {
            Err(error) if tries < TRIES && may_run_again(&error) => tries += 1,
            done => return done,
        }
    }
}

async fn once<T>(
    client: &mut Object,
    rules: &Rules,
    ids: &BTreeSet<GenerationId>,
    keys: &[&str],
    judge: &impl Fn(&mut MergeBatch<'_>) -> Result<T>,
) -> Result<T> {
    let tx = client.transaction().await?;
    let judged = within(&tx, rules, ids, keys, judge).await?;
    tx.commit().await?;
    Ok(judged)
}

/// Judges and writes within a transaction.
async fn within<T>(
    tx: &Transaction<'_>,
    rules: &Rules,
    ids: &BTreeSet<GenerationId>,
    keys: &[&str],
    judge: &impl Fn(&mut MergeBatch<'_>) -> Result<T>,
) -> Result<T> {
    let providers: Vec<&str> = ids.iter().map(|(provider, _)| provider.as_str()).collect();
    let requests: Vec<&str> = ids.iter().map(|(_, request_id)| request_id.as_str()).collect();
    let generations = all(tx, LOCK_GENERATIONS, &[&providers, &requests], row::generation).await?;
    let clips = all(tx, LOCK_CLIPS, &[&providers, &requests, &keys], row::clip).await?;
    let key_owners = all(tx, KEY_OWNERS, &[&requests], row::key_owner).await?;
    let claims = all(tx, CLAIMS, &[&providers, &requests], row::generation).await?;
    let mut batch = MergeBatch::new(rules, generations, clips, key_owners, claims);
    let judged = judge(&mut batch)?;
    write(tx, &batch).await?;
    Ok(judged)
}

/// Locks the generations that the news touches, in order, and those of other
/// providers that have their request ids.
pub const LOCK_GENERATIONS: &str = select_generations!(
    "WHERE request_id = ANY($2::text[]) AND (provider <> 'adopted' \
    OR (provider, request_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))) \
    ORDER BY provider, request_id FOR NO KEY UPDATE"
);

/// Finds who holds the names of request ids. Whoever takes one that was free
/// meanwhile is overtaken, and judges anew.
const KEY_OWNERS: &str = "SELECT request_id, provider FROM key_owners WHERE request_id = ANY($1::text[])";

/// Finds what tenants say of these generations.
const CLAIMS: &str = select_claims!("WHERE (provider, request_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))");

const NEW_CLAIMS: &str = "INSERT INTO claims (request_id, provider, tenant, model, prompt, prompt_hash, policy, input, \
    seed, seed_beyond, public, created_at) SELECT request_id, provider, tenant, model, prompt, prompt_hash, policy, \
    input, seed, seed_beyond, public, created_at FROM json_populate_recordset(NULL::claims, $1::text::json) \
    ON CONFLICT (request_id, provider, tenant) DO UPDATE SET model = excluded.model, prompt = excluded.prompt, \
    prompt_hash = excluded.prompt_hash, policy = excluded.policy, input = excluded.input, seed = excluded.seed, \
    seed_beyond = excluded.seed_beyond, public = excluded.public";

const CONFIRMED_CLAIMS: &str = "DELETE FROM claims c USING json_populate_recordset(NULL::claims, $1::text::json) n \
    WHERE c.request_id = n.request_id AND c.provider = n.provider AND c.tenant = n.tenant";

const NEW_KEY_OWNERS: &str = "INSERT INTO key_owners (request_id, provider) SELECT request_id, provider \
    FROM json_populate_recordset(NULL::key_owners, $1::text::json) ON CONFLICT DO NOTHING";

/// Locks the clips that the news touches, in order: those of its generations,
/// and those whose keys it names.
pub const LOCK_CLIPS: &str = select_clips!(
    "WHERE c.key IN (SELECT unnest($3::text[]) UNION ALL SELECT o.key \
    FROM unnest($1::text[], $2::text[]) AS n (provider, request_id) \
    JOIN clips o ON o.request_id = n.request_id AND o.provider = n.provider) \
    ORDER BY c.key FOR NO KEY UPDATE OF c"
);

const NEW_GENERATIONS: &str = "INSERT INTO generations (provider, request_id, status, model, prompt, prompt_hash, \
    tenant, policy, input, seed, seed_beyond, public, error, created_at, completed_at, poll_at) \
    SELECT provider, request_id, status, model, prompt, prompt_hash, \
    tenant, policy, input, seed, seed_beyond, public, error, created_at, completed_at, poll_at \
    FROM json_populate_recordset(NULL::generations, $1::text::json) ON CONFLICT DO NOTHING";

const CHANGED_GENERATIONS: &str = "UPDATE generations g SET status = n.status, model = n.model, prompt = n.prompt, \
    prompt_hash = n.prompt_hash, tenant = n.tenant, policy = n.policy, input = n.input, seed = n.seed, seed_beyond = n.seed_beyond, \
    public = n.public, error = n.error, completed_at = n.completed_at, \
    poll_at = n.poll_at \
    FROM json_populate_recordset(NULL::generations, $1::text::json) n \
    WHERE g.provider = n.provider AND g.request_id = n.request_id";

const NEW_CLIPS: &str = "INSERT INTO clips (key, provider, request_id, idx, slot, source_url, source_expires_at, \
    kind, content_type, state, policy, model, prompt_hash, tenant, seed, seed_beyond, epoch, created_at, due_at, queue_at, queued, \
    fence, attempts, model_at) SELECT key, provider, request_id, idx, slot, source_url, source_expires_at, \
    kind, content_type, state, policy, model, prompt_hash, tenant, seed, seed_beyond, epoch, created_at, due_at, due_at, \
    FALSE, 0, 0, CASE WHEN model IS NOT NULL THEN created_at END \
    FROM json_populate_recordset(NULL::clips, $1::text::json) ON CONFLICT DO NOTHING";

const FACTS_CHANGED_CLIPS: &str = "UPDATE clips c SET model = n.model, prompt_hash = n.prompt_hash, tenant = n.tenant, \
    seed = n.seed, seed_beyond = n.seed_beyond, policy = n.policy, due_at = n.due_at, \
    queue_at = CASE c.state WHEN 'waiting' THEN n.due_at ELSE c.queue_at END, \
    queued = CASE c.state WHEN 'waiting' THEN FALSE ELSE c.queued END \
    FROM json_populate_recordset(NULL::clips, $1::text::json) n WHERE c.key = n.key";

const SOURCE_REPLACED_CLIPS: &str = "UPDATE clips c SET model = n.model, prompt_hash = n.prompt_hash, tenant = n.tenant, \
    seed = n.seed, seed_beyond = n.seed_beyond, policy = n.policy, slot = n.slot, source_url = n.source_url, source_expires_at = n.source_expires_at, \
    kind = n.kind, content_type = n.content_type, state = 'waiting', epoch = n.epoch, due_at = n.due_at, \
    queue_at = n.due_at, queued = FALSE, lease_node = NULL, lease_until = NULL, fence = c.fence + 1, attempts = 0, \
    misses = 0, vanished = 0, reached = 0, refused = NULL, returned = n.returned, at_risk_reported = FALSE, last_error = NULL, restarted_at = n.restarted_at, size = NULL, sha256 = NULL, sealed_kind = NULL, sealed_content_type = NULL, \
    duration = NULL, width = NULL, height = NULL, fps = NULL, codec = NULL, c2pa = NULL, served_type = NULL, view = NULL, version = NULL, \
    was_sha256 = NULL FROM json_populate_recordset(NULL::clips, $1::text::json) n WHERE c.key = n.key";

const WORDS: &str = "INSERT INTO clip_words (key, created_at, words) \
    SELECT key, created_at, array_to_tsvector(words) \
    FROM json_to_recordset($1::text::json) AS n (key text, created_at bigint, words text[]) \
    ON CONFLICT (key) DO UPDATE SET words = excluded.words";

const PARENTS: &str = "INSERT INTO parents (provider, request_id, parent) SELECT n.provider, n.request_id, \
    coalesce((SELECT c.key FROM clips c WHERE c.was_key = n.parent LIMIT 1), n.parent) \
    FROM json_populate_recordset(NULL::parents, $1::text::json) n ON CONFLICT DO NOTHING";
const ADOPTED_CLIPS: &str = "UPDATE clips c SET provider = n.provider, slot = n.slot, source_url = n.source_url, \
    source_expires_at = n.source_expires_at FROM json_populate_recordset(NULL::clips, $1::text::json) n \
    WHERE c.key = n.key";

const GONE_GENERATIONS: &str = "DELETE FROM generations g USING \
    json_populate_recordset(NULL::generations, $1::text::json) n \
    WHERE g.provider = n.provider AND g.request_id = n.request_id";

const LINES: &str = "INSERT INTO history (key, at, event, detail) SELECT key, at, event, detail \
    FROM json_populate_recordset(NULL::history, $1::text::json)";

const EVENTS: &str = "INSERT INTO events (at, type, provider, request_id, key, detail, tenant) \
    SELECT at, type, provider, request_id, key, detail, tenant FROM json_populate_recordset(NULL::events, $1::text::json)";

async fn write(tx: &impl GenericClient, batch: &MergeBatch<'_>) -> Result<()> {
    let generations = |mark| batch.generations(mark).map(generation_row).collect();
    let clips = |mark| batch.clips(mark).map(clip_row).collect();
    put(tx, NEW_GENERATIONS, generations(GenerationChange::New)).await?;
    put(tx, CHANGED_GENERATIONS, generations(GenerationChange::Changed)).await?;
    put(tx, NEW_CLIPS, clips(ClipChange::New)).await?;
    put(tx, FACTS_CHANGED_CLIPS, clips(ClipChange::FactsChanged)).await?;
    put(tx, SOURCE_REPLACED_CLIPS, clips(ClipChange::SourceReplaced)).await?;
    put(tx, WORDS, entries(batch).iter().map(words_row).collect()).await?;
    unreads::write(tx, &batch.unread).await?;
    put_new(tx, PARENTS, batch.parents.iter().map(parent_row).collect()).await?;
    put(tx, ADOPTED_CLIPS, batch.adopted_clips().map(clip_row).collect()).await?;
    let gone = batch.adoption.generations.iter();
    put(tx, GONE_GENERATIONS, gone.map(|(provider, id)| json!({"provider": provider, "request_id": id})).collect())
        .await?;
    let named = batch.new_key_owners();
    put(tx, NEW_KEY_OWNERS, named.map(|(id, provider)| json!({"request_id": id, "provider": provider})).collect())
        .await?;
    put_new(tx, CONFIRMED_CLAIMS, batch.claims.confirmed.iter().map(claim_row).collect()).await?;
    put_new(tx, NEW_CLAIMS, batch.claims.new_claims().map(generation_row).collect()).await?;
    retagged(tx, &batch.retagged).await?;
    put(tx, LINES, batch.history.iter().map(line_row).collect()).await?;
    put(tx, EVENTS, batch.events.iter().map(event_row).collect()).await
}

/// Runs a statement that may find some of these rows written before.
async fn put_new(tx: &impl GenericClient, sql: &str, rows: Vec<Value>) -> Result<()> {
    if !rows.is_empty() {
        let statement = tx.prepare_cached(sql).await?;
        tx.execute(&statement, &[&Value::Array(rows).to_string()]).await?;
    }
    Ok(())
}

/// Runs a statement that must write every one of these rows.
async fn put(tx: &impl GenericClient, sql: &str, rows: Vec<Value>) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let wanted = rows.len() as u64;
    let statement = tx.prepare_cached(sql).await?;
    let written = tx.execute(&statement, &[&Value::Array(rows).to_string()]).await?;
    if written == wanted {
        return Ok(());
    }
    Err(CatalogError::unavailable("asking PostgreSQL", Overtaken))
}

fn generation_row(row: &Generation) -> Value {
    let facts = &row.facts;
    json!({
        "provider": row.provider,
        "request_id": row.request_id,
        "status": row.status,
        "model": facts.model,
        "prompt": facts.prompt,
        "prompt_hash": facts.prompt_hash,
        "tenant": facts.tenant,
        "policy": facts.policy,
        "input": facts.input.as_ref().map(Input::as_str),
        "seed": facts.seed.map(|seed| seed.columns().0),
        "seed_beyond": facts.seed.and_then(|seed| seed.columns().1),
        "public": facts.public,
        "error": row.error,
        "created_at": row.created_at.millis(),
        "completed_at": row.completed_at.map(|time| time.millis()),
        "poll_at": row.poll_at.map(|time| time.millis()),
    })
}

fn clip_row(row: &Clip) -> Value {
    json!({
        "key": row.key,
        "provider": row.provider,
        "request_id": row.request_id,
        "idx": row.index,
        "slot": row.slot,
        "source_url": row.source_url.expose(),
        "source_expires_at": row.source_expires_at.map(|time| time.millis()),
        "kind": row.kind,
        "content_type": row.content_type,
        "state": row.state,
        "policy": row.policy,
        "model": row.facts.model,
        "prompt_hash": row.facts.prompt_hash,
        "tenant": row.facts.tenant,
        "seed": row.facts.seed.map(|seed| seed.columns().0),
        "seed_beyond": row.facts.seed.and_then(|seed| seed.columns().1),
        "epoch": row.epoch,
        "created_at": row.created_at.millis(),
        "due_at": row.due_at.map(|time| time.millis()),
        "returned": row.returned,
        "restarted_at": row.restarted_at.map(|time| time.millis()),
    })
}

fn words_row(Entry { clip, words }: &Entry<'_>) -> Value {
    json!({ "key": clip.key, "created_at": clip.created_at.millis(), "words": words })
}

fn parent_row(((provider, request_id), parent): &(GenerationId, ClipKey)) -> Value {
    json!({ "provider": provider, "request_id": request_id, "parent": parent })
}

fn claim_row(((provider, request_id), tenant): &ClaimId) -> Value {
    json!({ "provider": provider, "request_id": request_id, "tenant": tenant })
}

fn line_row(line: &NewHistoryEntry) -> Value {
    json!({ "key": line.key, "at": line.at.millis(), "event": line.event, "detail": line.detail })
}

fn event_row(event: &Event) -> Value {
    json!({
        "at": event.at.millis(),
        "type": event.kind,
        "provider": event.generation.as_ref().map(|(provider, _)| provider),
        "request_id": event.request_id(),
        "key": event.key,
        "detail": event.detail,
        "tenant": event.tenant,
    })
}
