//! Rows to records, for both databases. A row that cannot be read names its
//! table, key and column.

use clipkeep_core::{
    event::{Event, Position},
    generation::{Clip, Generation, HistoryEntry},
    id::{ClipKey, Provider, RequestId},
    link::Revocation,
    secret::SourceUrl,
    state::ClipState,
    token::TokenInfo,
    version::SourceVersion,
    view::View,
};

use super::{
    AgedClip, ClipSummary, Cursor, LeaseHolder, Pinned, Result, StoredObject,
    cells::Cells,
    outbox::{Backlog, Delivery, ParkedDelivery, WaitingDelivery},
    polls::Poll,
    submissions::Begun,
    unreads::UnreadRow,
};

pub(crate) use super::cells::{Columns, Unreadable};

/// The columns of a clip `c` joined with its generation `g`.
macro_rules! clip_columns {
    () => {
        "c.key, c.was_key, c.provider, c.request_id, c.idx, c.slot, c.state, c.policy, c.source_url, \
         c.source_expires_at, c.kind, c.content_type, c.epoch, c.created_at, c.stored_at, c.due_at, \
         c.attempts, c.misses, c.vanished, c.returned, c.view, c.version, c.last_error, c.fence, c.size, c.sha256, c.sealed_kind, c.sealed_content_type, \
         c.duration, c.width, c.height, c.fps, c.codec, c.c2pa, c.served_type, c.restarted_at, c.verified_at, \
         c.object_key, c.link_generation, c.poster_epoch, c.thumbhash, \
         g.model, g.prompt, g.prompt_hash, g.tenant, g.policy AS own_policy, g.input, g.seed, g.seed_beyond, g.public"
    };
}

/// Selects clips with their generations; a `WHERE` may follow.
macro_rules! select_clips {
    ($tail:literal) => {
        concat!(
            "SELECT ",
            $crate::catalog::row::clip_columns!(),
            " FROM clips c JOIN generations g ON g.provider = c.provider AND g.request_id = c.request_id ",
            $tail
        )
    };
}

macro_rules! generation_columns {
    () => {
        "provider, request_id, status, error, created_at, completed_at, poll_at, model, prompt, prompt_hash, \
         tenant, policy AS own_policy, input, seed, seed_beyond, public"
    };
}

/// Selects generations; a `WHERE` may follow.
macro_rules! select_generations {
    ($tail:literal) => {
        concat!("SELECT ", $crate::catalog::row::generation_columns!(), " FROM generations ", $tail)
    };
}
/// Selects claims as generations of which nothing is known yet; a `WHERE` may follow.
macro_rules! select_claims {
    ($tail:literal) => {
        concat!(
            "SELECT provider, request_id, 'pending' AS status, CAST(NULL AS TEXT) AS error, created_at, \
             CAST(NULL AS BIGINT) AS completed_at, CAST(NULL AS BIGINT) AS poll_at, model, prompt, prompt_hash, \
             tenant, policy AS own_policy, input, seed, seed_beyond, public FROM claims ",
            $tail
        )
    };
}
/// Selects [`ClipSummary`]s; a `WHERE` may follow.
macro_rules! select_clip_summaries {
    ($tail:literal) => {
        concat!(
            "SELECT key, provider, request_id, idx, slot, state, policy, source_url, due_at, attempts, last_error, \
             created_at, model, tenant FROM clips ",
            $tail
        )
    };
}
/// Selects results that were not understood; a `WHERE` may follow.
macro_rules! select_unreads {
    ($tail:literal) => {
        concat!(
            "SELECT u.provider, u.request_id, u.at, u.form, u.why, u.len, u.payload, CAST(length(u.payload) AS BIGINT) AS kept, \
             g.model, g.tenant FROM unread u JOIN generations g ON g.request_id = u.request_id \
             AND g.provider = u.provider ",
            $tail
        )
    };
}
pub(crate) use {
    clip_columns, generation_columns, select_claims, select_clip_summaries, select_clips, select_generations,
    select_unreads,
};

/// Reads what `select_generations!` selected.
pub(crate) fn generation(row: &impl Columns) -> Result<Generation> {
    let cells = Cells::of(row, "generations", "request_id")?;
    Ok(Generation {
        provider: cells.must("provider", cells.name("provider"))?,
        request_id: cells.must("request_id", cells.name("request_id"))?,
        status: cells.must("status", cells.name("status"))?,
        facts: cells.facts()?,
        error: cells.text("error")?,
        created_at: cells.must("created_at", cells.time("created_at"))?,
        completed_at: cells.time("completed_at")?,
        poll_at: cells.time("poll_at")?,
    })
}

/// Reads what `select_unreads!` selected, but for the payload itself.
pub(crate) fn unread(row: &impl Columns) -> Result<UnreadRow> {
    let cells = Cells::of(row, "unread", "request_id")?;
    Ok(UnreadRow {
        provider: cells.must("provider", cells.name("provider"))?,
        request_id: cells.must("request_id", cells.name("request_id"))?,
        at: cells.must("at", cells.time("at"))?,
        form: cells.must("form", cells.name("form"))?,
        why: cells.must("why", cells.text("why"))?,
        len: cells.must("len", cells.number("len"))?,
        kept: cells.number("kept")?,
        model: cells.text("model")?,
        tenant: cells.name("tenant")?,
    })
}

/// Reads `key, provider, request_id, source_url`.
pub(crate) fn inline(row: &impl Columns) -> Result<(Provider, RequestId, String)> {
    let cells = Cells::of(row, "clips", "key")?;
    let (provider, request_id) = (cells.name("provider"), cells.name("request_id"));
    Ok((
        cells.must("provider", provider)?,
        cells.must("request_id", request_id)?,
        cells.must("source_url", cells.text("source_url"))?,
    ))
}

/// Reads who holds a request id's names.
pub(crate) fn key_owner(row: &impl Columns) -> Result<(RequestId, Provider)> {
    let cells = Cells::of(row, "names", "request_id")?;
    Ok((cells.must("request_id", cells.name("request_id"))?, cells.must("provider", cells.name("provider"))?))
}

/// Reads a generation's columns, `polls`, `poll_misses` and `poll_error`.
pub(crate) fn poll(row: &impl Columns) -> Result<Poll> {
    let cells = Cells::of(row, "generations", "request_id")?;
    let generation = generation(row)?;
    let names: u32 = cells.must("named", cells.number("named"))?;
    Ok(Poll {
        is_claim: names == 0 && generation.facts.tenant.is_some(),
        generation,
        polls: cells.must("polls", cells.number("polls"))?,
        misses: cells.must("poll_misses", cells.number("poll_misses"))?,
        error: cells.text("poll_error")?,
    })
}

/// Reads a submit's row, for a call that asks for `request`.
pub(crate) fn begun(row: &impl Columns, request: &str) -> Result<Begun> {
    let cells = Cells::of(row, "submissions", "key")?;
    let asked = cells.must("request", cells.text("request"))?;
    let since = cells.must("begun_at", cells.time("begun_at"))?;
    Ok(match (cells.name("provider")?, cells.name("request_id")?) {
        _ if asked != request => Begun::Other,
        (Some(provider), Some(request_id)) => Begun::Done(provider, request_id),
        _ => Begun::Open(since),
    })
}

/// Reads what `select_clips!` selected.
pub(crate) fn clip(row: &impl Columns) -> Result<Clip> {
    let cells = Cells::of(row, "clips", "key")?;
    Ok(Clip {
        key: cells.must("key", cells.name("key"))?,
        was_key: cells.name("was_key")?,
        provider: cells.must("provider", cells.name("provider"))?,
        request_id: cells.must("request_id", cells.name("request_id"))?,
        index: cells.must("idx", cells.number("idx"))?,
        slot: cells.must("slot", cells.text("slot"))?,
        state: cells.must("state", cells.name("state"))?,
        policy: cells.must("policy", cells.name("policy"))?,
        source_url: SourceUrl::new(cells.must("source_url", cells.text("source_url"))?),
        source_expires_at: cells.time("source_expires_at")?,
        facts: cells.facts()?,
        kind: cells.must("kind", cells.name("kind"))?,
        content_type: cells.must("content_type", cells.text("content_type"))?,
        sealed: cells.sealed()?,
        epoch: cells.must("epoch", cells.number("epoch"))?,
        created_at: cells.must("created_at", cells.time("created_at"))?,
        stored_at: cells.time("stored_at")?,
        due_at: cells.time("due_at")?,
        attempts: cells.must("attempts", cells.number("attempts"))?,
        view: cells.name("view")?,
        served_type: cells.text("served_type")?,
        version: cells.version()?,
        misses: cells.must("misses", cells.number("misses"))?,
        vanished: cells.must("vanished", cells.number("vanished"))?,
        returned: cells.must("returned", cells.number("returned"))?,
        last_error: cells.text("last_error")?,
        restarted_at: cells.time("restarted_at")?,
        verified_at: cells.time("verified_at")?.filter(|at| at.millis() != 0),
        link_generation: cells.must("link_generation", cells.number("link_generation"))?,
        object_key: cells.name("object_key")?,
        poster: cells.poster()?,
    })
}

/// A source's version, as it is kept in a row.
pub(crate) fn version_text(version: &SourceVersion) -> String {
    // Three plain fields: cannot fail.
    serde_json::to_string(version).unwrap_or_default()
}

/// Reads `key, version, view`.
pub(crate) fn pinned(row: &impl Columns) -> Result<Option<Pinned>> {
    let cells = Cells::of(row, "clips", "key")?;
    let view = cells.name("view")?;
    Ok(cells.version()?.map(|version| Pinned { version, view }))
}

/// Reads `key, view`.
pub(crate) fn view(row: &impl Columns) -> Result<Option<View>> {
    Cells::of(row, "clips", "key")?.name("view")
}

/// Reads `key, served_type`.
pub(crate) fn served_type(row: &impl Columns) -> Result<Option<String>> {
    Cells::of(row, "clips", "key")?.text("served_type")
}

/// Reads the fence of what `select_clips!` selected.
pub(crate) fn fence(row: &impl Columns) -> Result<i64> {
    let cells = Cells::of(row, "clips", "key")?;
    cells.must("fence", cells.number("fence"))
}

/// Reads `key, at, event, detail, bytes`.
pub(crate) fn history_entry(row: &impl Columns) -> Result<HistoryEntry> {
    let cells = Cells::of(row, "history", "key")?;
    Ok(HistoryEntry {
        at: cells.must("at", cells.time("at"))?,
        event: cells.must("event", cells.text("event"))?,
        detail: cells.text("detail")?,
        bytes: cells.number("bytes")?,
    })
}

/// Reads what `select_clip_summaries!` selected.
pub(crate) fn clip_summary(row: &impl Columns) -> Result<ClipSummary> {
    let cells = Cells::of(row, "clips", "key")?;
    Ok(ClipSummary {
        key: cells.must("key", cells.name("key"))?,
        provider: cells.must("provider", cells.name("provider"))?,
        request_id: cells.must("request_id", cells.name("request_id"))?,
        index: cells.must("idx", cells.number("idx"))?,
        slot: cells.must("slot", cells.text("slot"))?,
        state: cells.must("state", cells.name("state"))?,
        policy: cells.must("policy", cells.name("policy"))?,
        source_url: SourceUrl::new(cells.must("source_url", cells.text("source_url"))?),
        due_at: cells.time("due_at")?,
        attempts: cells.must("attempts", cells.number("attempts"))?,
        last_error: cells.text("last_error")?,
        created_at: cells.must("created_at", cells.time("created_at"))?,
        model: cells.text("model")?,
        tenant: cells.name("tenant")?,
    })
}

/// Reads `key, lease_node, lease_until`.
pub(crate) fn lease_holder(row: &impl Columns) -> Result<Option<LeaseHolder>> {
    let cells = Cells::of(row, "clips", "key")?;
    let (node, until) = (cells.text("lease_node")?, cells.time("lease_until")?);
    Ok(node.zip(until).map(|(node, until)| LeaseHolder { node, until }))
}

/// Reads `id, name, tenant, created_at, last_used_at, revoked_at`.
pub(crate) fn token(row: &impl Columns) -> Result<TokenInfo> {
    let cells = Cells::of(row, "tokens", "id")?;
    Ok(TokenInfo {
        id: cells.must("id", cells.text("id"))?,
        name: cells.must("name", cells.text("name"))?,
        tenant: cells.name("tenant")?,
        created_at: cells.must("created_at", cells.time("created_at"))?,
        last_used_at: cells.time("last_used_at")?,
        revoked_at: cells.time("revoked_at")?,
    })
}

/// Reads `tx, id, at, type, provider, request_id, key, detail, tenant`.
pub(crate) fn event(row: &impl Columns) -> Result<(Position, Event)> {
    let mut cells = Cells::of(row, "events", "type")?;
    let position = Position { tx: cells.must("tx", cells.number("tx"))?, id: cells.must("id", cells.number("id"))? };
    cells.key = position.to_string();
    let (provider, request_id) = (cells.name("provider")?, cells.name("request_id")?);
    let event = Event {
        kind: cells.must("type", cells.name("type"))?,
        at: cells.must("at", cells.time("at"))?,
        generation: provider.zip(request_id),
        key: cells.name("key")?,
        detail: cells.text("detail")?,
        tenant: cells.name("tenant")?,
    };
    Ok((position, event))
}

/// Reads `attempts, first_at` beside an event.
pub(crate) fn delivery(row: &impl Columns) -> Result<Delivery> {
    let cells = Cells::of(row, "deliveries", "type")?;
    let (position, event) = event(row)?;
    let attempts = cells.must("attempts", cells.number("attempts"))?;
    Ok(Delivery { position, event, attempts, first_at: cells.time("first_at")? })
}

/// Reads `endpoint, last_error` beside a delivery.
pub(crate) fn parked(row: &impl Columns) -> Result<ParkedDelivery> {
    let cells = Cells::of(row, "deliveries", "endpoint")?;
    Ok(ParkedDelivery { endpoint: cells.key.clone(), delivery: delivery(row)?, why: cells.text("last_error")? })
}

/// Reads `endpoint, next_at, last_error` beside a delivery.
pub(crate) fn waiting(row: &impl Columns) -> Result<WaitingDelivery> {
    let cells = Cells::of(row, "deliveries", "endpoint")?;
    let (next_at, why) = (cells.time("next_at")?, cells.text("last_error")?);
    Ok(WaitingDelivery { endpoint: cells.key.clone(), delivery: delivery(row)?, next_at, why })
}

/// Reads `endpoint, waiting, parked, oldest`.
pub(crate) fn backlog(row: &impl Columns) -> Result<Backlog> {
    let cells = Cells::of(row, "deliveries", "endpoint")?;
    let number = |column| cells.must(column, cells.number(column));
    let (waiting, parked) = (number("waiting")?, number("parked")?);
    Ok(Backlog { endpoint: cells.key.clone(), waiting, parked, oldest: cells.time("oldest")? })
}

/// Reads `key, epoch, size, sha256, stored_at, verified_at, source_url, object_key, owner_state`.
pub(crate) fn object(row: &impl Columns) -> Result<StoredObject> {
    let cells = Cells::of(row, "clips", "key")?;
    let (key, object_key) = (cells.must("key", cells.name("key"))?, cells.name("object_key")?);
    let owner: Option<ClipState> = cells.name("owner_state")?;
    Ok(StoredObject {
        object: object_key.unwrap_or_else(|| ClipKey::clone(&key)),
        has_owner: owner == Some(ClipState::Stored),
        key,
        epoch: cells.must("epoch", cells.number("epoch"))?,
        size: cells.must("size", cells.number("size"))?,
        sha256: cells.must("sha256", cells.text("sha256"))?,
        stored_at: cells.must("stored_at", cells.time("stored_at"))?,
        verified_at: cells.time("verified_at")?.filter(|at| at.millis() != 0),
        has_source: SourceUrl::new(cells.must("source_url", cells.text("source_url"))?).has_url(),
    })
}

/// Reads `key, created_at, model, tenant`.
pub(crate) fn aged(row: &impl Columns) -> Result<AgedClip> {
    let cells = Cells::of(row, "clips", "key")?;
    Ok(AgedClip {
        at: Cursor {
            created_at: cells.must("created_at", cells.time("created_at"))?,
            key: cells.must("key", cells.name("key"))?,
        },
        model: cells.text("model")?,
        tenant: cells.name("tenant")?,
    })
}

/// Reads `key`.
pub(crate) fn key(row: &impl Columns) -> Result<ClipKey> {
    let cells = Cells::of(row, "clips", "key")?;
    cells.must("key", cells.name("key"))
}

/// Reads `key, state`.
pub(crate) fn state(row: &impl Columns) -> Result<(ClipKey, ClipState)> {
    let cells = Cells::of(row, "clips", "key")?;
    Ok((cells.must("key", cells.name("key"))?, cells.must("state", cells.name("state"))?))
}

/// Reads `state, clips`.
pub(crate) fn count(row: &impl Columns) -> Result<(ClipState, u64)> {
    let cells = Cells::of(row, "clips", "state")?;
    Ok((cells.must("state", cells.name("state"))?, cells.must("clips", cells.number("clips"))?))
}

/// Reads `what`.
pub(crate) fn revocation(row: &impl Columns) -> Result<Revocation> {
    let cells = Cells::of(row, "revocations", "what")?;
    cells.must("what", cells.name("what"))
}
