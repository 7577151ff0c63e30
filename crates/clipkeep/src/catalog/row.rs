//! Rows to records, for both databases. A row that cannot be read names its
//! table, key and column.

use std::str::FromStr;

use clipkeep_core::{
    event::{Event, Position},
    generation::{Clip, Facts, Generation, HistoryEntry, MediaInfo, Sealed},
    id::ClipKey,
    secret::SourceUrl,
    state::ClipState,
    time::Timestamp,
    token::TokenInfo,
    version::SourceVersion,
    view::View,
};

use super::{
    AgedClip, CatalogError, Cursor, Holder, Outline, Pinned, Result, StoredObject,
    outbox::{Backlog, Delivery, ParkedDelivery, WaitingDelivery},
    polls::Poll,
};

/// The columns of a clip `c` joined with its generation `g`.
macro_rules! clip_columns {
    () => {
        "c.key, c.provider, c.request_id, c.idx, c.slot, c.state, c.policy, c.source_url, \
         c.source_expires_at, c.kind, c.content_type, c.epoch, c.created_at, c.stored_at, c.due_at, \
         c.attempts, c.misses, c.view, c.version, c.last_error, c.fence, c.size, c.sha256, c.sealed_kind, c.sealed_content_type, \
         c.duration, c.width, c.height, c.fps, c.codec, c.restarted_at, c.verified_at, \
         c.object_key, \
         g.model, g.prompt, g.prompt_hash, g.tenant, g.policy AS own_policy, g.input, g.seed, g.public"
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

/// The columns of a generation.
macro_rules! generation_columns {
    () => {
        "provider, request_id, status, error, created_at, completed_at, poll_at, model, prompt, prompt_hash, \
         tenant, policy AS own_policy, input, seed, public"
    };
}

/// Selects generations; a `WHERE` may follow.
macro_rules! select_generations {
    ($tail:literal) => {
        concat!("SELECT ", $crate::catalog::row::generation_columns!(), " FROM generations ", $tail)
    };
}
/// Selects [`Outline`]s; a `WHERE` may follow.
macro_rules! select_outlines {
    ($tail:literal) => {
        concat!(
            "SELECT key, provider, request_id, idx, slot, state, policy, source_url, due_at, attempts, last_error, \
             created_at, model, tenant FROM clips ",
            $tail
        )
    };
}
pub(crate) use {clip_columns, generation_columns, select_clips, select_generations, select_outlines};

/// A cell that does not hold what its column promises.
pub(crate) struct Unreadable;

/// A database's row, by column name.
pub(crate) trait Columns {
    fn text(&self, column: &'static str) -> Result<Option<String>, Unreadable>;
    fn int(&self, column: &'static str) -> Result<Option<i64>, Unreadable>;
    fn real(&self, column: &'static str) -> Result<Option<f64>, Unreadable>;
    fn flag(&self, column: &'static str) -> Result<Option<bool>, Unreadable>;
}

/// A row with what is needed to say where an unreadable cell stands.
pub(super) struct Cells<'a, R> {
    row: &'a R,
    table: &'static str,
    key: String,
}

impl<'a, R: Columns> Cells<'a, R> {
    pub(super) fn of(row: &'a R, table: &'static str, key_column: &'static str) -> Result<Self> {
        let mut cells = Self { row, table, key: String::new() };
        cells.key = cells.must(key_column, cells.text(key_column))?;
        Ok(cells)
    }

    fn bad(&self, column: &'static str) -> CatalogError {
        CatalogError::BadRow { table: self.table, key: self.key.clone(), column }
    }

    /// The value of a column that is never null.
    pub(super) fn must<T>(&self, column: &'static str, value: Result<Option<T>>) -> Result<T> {
        value?.ok_or_else(|| self.bad(column))
    }

    pub(super) fn text(&self, column: &'static str) -> Result<Option<String>> {
        self.row.text(column).map_err(|Unreadable| self.bad(column))
    }

    fn real(&self, column: &'static str) -> Result<Option<f64>> {
        self.row.real(column).map_err(|Unreadable| self.bad(column))
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<T>> {
        let number = self.row.int(column).map_err(|Unreadable| self.bad(column))?;
        number.map(T::try_from).transpose().map_err(|_| self.bad(column))
    }

    pub(super) fn time(&self, column: &'static str) -> Result<Option<Timestamp>> {
        Ok(self.number(column)?.map(Timestamp::from_millis))
    }

    pub(super) fn name<T: FromStr>(&self, column: &'static str) -> Result<Option<T>> {
        self.text(column)?.map(|text| text.parse()).transpose().map_err(|_| self.bad(column))
    }

    fn facts(&self) -> Result<Facts> {
        let input = self.text("input")?;
        Ok(Facts {
            model: self.text("model")?,
            prompt: self.text("prompt")?,
            prompt_hash: self.text("prompt_hash")?,
            tenant: self.name("tenant")?,
            policy: self.name("own_policy")?,
            input: input.map(|json| serde_json::from_str(&json)).transpose().map_err(|_| self.bad("input"))?,
            seed: self.number("seed")?,
            public: self.row.flag("public").map_err(|Unreadable| self.bad("public"))?,
        })
    }

    fn version(&self) -> Result<Option<SourceVersion>> {
        let text = self.text("version")?;
        text.map(|json| serde_json::from_str(&json)).transpose().map_err(|_| self.bad("version"))
    }

    fn sealed(&self) -> Result<Option<Sealed>> {
        let Some(sha256) = self.text("sha256")? else { return Ok(None) };
        let media = MediaInfo {
            kind: self.must("sealed_kind", self.name("sealed_kind"))?,
            content_type: self.must("sealed_content_type", self.text("sealed_content_type"))?,
            duration: self.real("duration")?,
            width: self.number("width")?,
            height: self.number("height")?,
            fps: self.real("fps")?,
            codec: self.text("codec")?,
        };
        Ok(Some(Sealed { size: self.must("size", self.number("size"))?, sha256, media }))
    }
}

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

/// Reads a generation's columns, `polls`, `poll_misses` and `poll_error`.
pub(crate) fn poll(row: &impl Columns) -> Result<Poll> {
    let cells = Cells::of(row, "generations", "request_id")?;
    Ok(Poll {
        generation: generation(row)?,
        polls: cells.must("polls", cells.number("polls"))?,
        misses: cells.must("poll_misses", cells.number("poll_misses"))?,
        error: cells.text("poll_error")?,
    })
}

/// Reads what `select_clips!` selected.
pub(crate) fn clip(row: &impl Columns) -> Result<Clip> {
    let cells = Cells::of(row, "clips", "key")?;
    Ok(Clip {
        key: cells.must("key", cells.name("key"))?,
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
        version: cells.version()?,
        misses: cells.must("misses", cells.number("misses"))?,
        last_error: cells.text("last_error")?,
        restarted_at: cells.time("restarted_at")?,
        verified_at: cells.time("verified_at")?.filter(|at| at.millis() != 0),
        object_key: cells.name("object_key")?,
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

/// Reads what `select_outlines!` selected.
pub(crate) fn outline(row: &impl Columns) -> Result<Outline> {
    let cells = Cells::of(row, "clips", "key")?;
    Ok(Outline {
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
pub(crate) fn holder(row: &impl Columns) -> Result<Option<Holder>> {
    let cells = Cells::of(row, "clips", "key")?;
    let (node, until) = (cells.text("lease_node")?, cells.time("lease_until")?);
    Ok(node.zip(until).map(|(node, until)| Holder { node, until }))
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

/// Reads `tx, id, at, type, provider, request_id, key, detail`.
pub(crate) fn event(row: &impl Columns) -> Result<(Position, Event)> {
    let cells = Cells::of(row, "events", "request_id")?;
    let position = Position { tx: cells.must("tx", cells.number("tx"))?, id: cells.must("id", cells.number("id"))? };
    let event = Event {
        kind: cells.must("type", cells.name("type"))?,
        at: cells.must("at", cells.time("at"))?,
        provider: cells.must("provider", cells.name("provider"))?,
        request_id: cells.must("request_id", cells.name("request_id"))?,
        key: cells.name("key")?,
        detail: cells.text("detail")?,
    };
    Ok((position, event))
}

/// Reads `attempts, first_at` beside an event.
pub(crate) fn delivery(row: &impl Columns) -> Result<Delivery> {
    let cells = Cells::of(row, "deliveries", "request_id")?;
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
        has_source: !SourceUrl::new(cells.must("source_url", cells.text("source_url"))?).is_own_store(),
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
