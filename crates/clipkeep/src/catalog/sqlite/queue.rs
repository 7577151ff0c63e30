//! The queue and the leases. A lease is judged by its fence alone, and times
//! are the caller's: no clock of the database is asked.

use clipkeep_core::{
    event::EventType, generation::Sealed, id::ClipKey, state::ClipState, time::Timestamp, version::SourceVersion,
    view::View,
};
use rusqlite::{Connection, OptionalExtension as _, Params, named_params};

use super::{
    super::{
        CatalogError, Claim, FRESH_FOR, Lease, MAX_VANISHED, NodeId, Pinned, Quota, Result,
        due::{MAX_ENDED_PER_CLAIM, NO_ANSWER, by_deadline},
        ending::Ending,
        merge::{NewHistoryEntry, without_nul},
        page,
        row::{self, select_clips},
    },
    find::{all, first},
    record::{append_history, append_history_with_bytes},
    search, sharing, storage_periods,
};

/// Who takes leases, when, and until when.
pub(super) struct Take {
    pub(super) node: NodeId,
    pub(super) now: Timestamp,
    pub(super) until: Timestamp,
}

/// Moves clips among the backlog: deferred ones that are due (`?1`), and others
/// that are due since `?2` or longer; bounded, soonest first.
pub const PROMOTE: &str = "UPDATE clips SET queued = 1 WHERE key IN (SELECT key FROM (SELECT key FROM clips \
    WHERE queue_at IS NOT NULL AND queued = 0 AND policy = 'deferred' AND queue_at <= ?1 ORDER BY queue_at LIMIT ?3) \
    UNION ALL SELECT key FROM (SELECT key FROM clips \
    WHERE queue_at IS NOT NULL AND queued = 0 AND policy <> 'deferred' AND queue_at <= ?2 ORDER BY queue_at LIMIT ?3))";

/// Picks fresh clips, newest first.
pub const NEWEST: &str = "SELECT key FROM clips \
    WHERE queue_at IS NOT NULL AND queued = 0 AND policy <> 'deferred' AND queue_at <= ?1 AND queue_at > ?3 \
    AND vanished = 0 ORDER BY queue_at DESC LIMIT ?2";

/// Picks backlog by urgency. A clock that was set back leaves clips queued
/// whose time is to come again, hence the second look at `queue_at`.
pub const BACKLOG: &str = "SELECT key FROM clips WHERE queued = 1 AND queue_at <= ?1 \
    AND vanished = 0 ORDER BY ifnull(source_expires_at, 9223372036854775807), due_at, key LIMIT ?2";

pub const SUSPECTS: &str =
    "SELECT key FROM clips WHERE vanished > 0 AND queue_at IS NOT NULL AND queue_at <= ?1 ORDER BY queue_at LIMIT ?2";

/// Picks clips whose attempts vanished once too often.
pub const VANISHED_CLIPS: &str = "SELECT key FROM clips INDEXED BY clips_vanished WHERE vanished > 0 AND queue_at IS NOT NULL \
    AND queue_at <= ?1 AND state = 'filling' AND lease_node <> ?2 AND vanished + 1 >= ?3 ORDER BY queue_at LIMIT ?4";

/// Claims clips that are due.
pub(super) fn claim_due(tx: &Connection, take: &Take, quota: Quota) -> Result<Vec<Claim>> {
    let (now, stale) = (take.now.millis(), take.now.minus(FRESH_FOR).millis());
    for key in all(tx, VANISHED_CLIPS, (now, &take.node, MAX_VANISHED, MAX_ENDED_PER_CLAIM), |row| {
        Ok(row.get::<_, String>(0)?)
    })? {
        end_vanished(tx, take, &key)?;
    }
    let fresh = |limit| pick(tx, NEWEST, limit, (now, page::size(limit), stale));
    let mut claims = Vec::new();
    let mut claim = |keys: Vec<String>, backlog| {
        for key in keys {
            claims.push(Claim { backlog, ..lease(tx, take, &key)? });
        }
        Ok::<_, CatalogError>(claims.len())
    };
    let limit = quota.suspects();
    let claimed = claim(pick(tx, SUSPECTS, limit, (now, page::size(limit)))?, false)?;
    let claimed = claim(fresh(quota.fresh_first(claimed))?, false)?;
    tx.prepare_cached(PROMOTE)?.execute((now, stale, quota.promoted()))?;
    let limit = quota.backlog_share(claimed);
    let claimed = claim(pick(tx, BACKLOG, limit, (now, page::size(limit)))?, true)?;
    claim(fresh(quota.remainder(claimed))?, false)?;
    claims.sort_by(by_deadline);
    Ok(claims)
}

fn pick(tx: &Connection, sql: &str, limit: u32, params: impl Params) -> Result<Vec<String>> {
    if limit == 0 { Ok(Vec::new()) } else { all(tx, sql, params, |row| Ok(row.get(0)?)) }
}

/// Claims one clip, due or not.
pub(super) fn claim(tx: &Connection, take: &Take, key: &ClipKey) -> Result<Option<Claim>> {
    const FREE: &str = "SELECT key FROM clips WHERE key = ?1 \
        AND (state = 'waiting' OR (state = 'filling' AND lease_until <= ?2))";
    if end_vanished(tx, take, key.as_str())? {
        return Ok(None);
    }
    let free = tx.prepare_cached(FREE)?.query_row((key.as_str(), take.now.millis()), |row| row.get(0));
    let free: Option<String> = free.optional()?;
    free.map(|key| lease(tx, take, &key)).transpose()
}

fn lease(tx: &Connection, take: &Take, key: &str) -> Result<Claim> {
    const GONE: &str = "SELECT lease_node FROM clips WHERE key = ?1 AND state = 'filling' AND lease_node <> ?2";
    const LEASE: &str = "UPDATE clips SET state = 'filling', lease_node = ?2, lease_until = ?3, queue_at = ?3, \
        queued = 0, fence = fence + 1, attempts = attempts + 1, vanished = vanished + ?4 WHERE key = ?1";
    const CLAIMED: &str = select_clips!("WHERE c.key = ?1");
    let gone = first(tx, GONE, (key, &take.node), |row| Ok(row.get::<_, String>(0)?))?;
    tx.prepare_cached(LEASE)?.execute((key, &take.node, take.until.millis(), gone.is_some()))?;
    let claimed = first(tx, CLAIMED, [key], |row| {
        let clip = row::clip(row)?;
        Ok(Claim { lease: Lease { key: clip.key.clone(), fence: row::fence(row)? }, clip, backlog: false })
    })?;
    let claim = claimed.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    if gone.is_some() {
        append_history(
            tx,
            &NewHistoryEntry { key: claim.clip.key.clone(), at: take.now, event: "vanished", detail: gone },
        )?;
    }
    let detail = Some(format!("{}, attempt {}", take.node, claim.clip.attempts));
    append_history(tx, &NewHistoryEntry { key: claim.clip.key.clone(), at: take.now, event: "claimed", detail })?;
    Ok(claim)
}

/// Ends the clip if its attempts vanished once too often; answers whether it did.
fn end_vanished(tx: &Connection, take: &Take, key: &str) -> Result<bool> {
    const SQL: &str = "UPDATE clips SET state = 'rejected', due_at = NULL, queue_at = NULL, queued = 0, \
        lease_node = NULL, lease_until = NULL, last_error = ?4 WHERE key = ?1 AND state = 'filling' \
        AND lease_until <= ?2 AND lease_node <> ?3 AND vanished + 1 >= ?5 RETURNING key";
    let params = (key, take.now.millis(), &take.node, NO_ANSWER, MAX_VANISHED);
    let Some(key) = first(tx, SQL, params, |row| row::key(row))? else { return Ok(false) };
    emit_clip_event(tx, &key, take.now, EventType::ClipRejected, Some(NO_ANSWER))?;
    search::forget_after(tx, &key)?;
    append_history(tx, &NewHistoryEntry { key, at: take.now, event: "rejected", detail: Some(NO_ANSWER.to_owned()) })?;
    Ok(true)
}

/// Tells the world of a clip.
pub(super) fn emit_clip_event(
    tx: &Connection,
    key: &ClipKey,
    at: Timestamp,
    kind: EventType,
    why: Option<&str>,
) -> Result<()> {
    const SQL: &str = "INSERT INTO events (at, type, provider, request_id, key, detail) \
        SELECT ?2, ?3, provider, request_id, key, ?4 FROM clips WHERE key = ?1";
    tx.prepare_cached(SQL)?.execute((key.as_str(), at.millis(), kind.as_str(), why))?;
    Ok(())
}

/// Runs a write that its `WHERE` makes depend on the lease.
fn under_lease(tx: &Connection, lease: &Lease, sql: &str, params: impl Params) -> Result<()> {
    match tx.prepare_cached(sql)?.execute(params)? {
        0 => Err(CatalogError::LeaseLost { key: lease.key.clone() }),
        _ => Ok(()),
    }
}

pub(super) fn renew(tx: &Connection, lease: &Lease, until: Timestamp, reached: u64) -> Result<()> {
    const SQL: &str = "UPDATE clips SET lease_until = ?3, queue_at = ?3, queued = 0, \
        vanished = CASE WHEN ?4 > reached + reached / 10 THEN 0 ELSE vanished END, \
        reached = CASE WHEN ?4 > reached + reached / 10 THEN ?4 ELSE reached END \
        WHERE key = ?1 AND fence = ?2 AND state = 'filling'";
    let reached = i64::try_from(reached).unwrap_or(i64::MAX);
    under_lease(tx, lease, SQL, (lease.key.as_str(), lease.fence, until.millis(), reached))
}

pub(super) fn raise_epoch(tx: &Connection, lease: &Lease, at: Timestamp, why: &str) -> Result<i64> {
    const SQL: &str = "UPDATE clips SET epoch = epoch + 1, size = NULL, sha256 = NULL, sealed_kind = NULL, \
        sealed_content_type = NULL, duration = NULL, width = NULL, height = NULL, fps = NULL, codec = NULL, c2pa = NULL, served_type = NULL, view = NULL, version = NULL \
        WHERE key = ?1 AND fence = ?2 AND state = 'filling' RETURNING epoch";
    let raised = tx.prepare_cached(SQL)?.query_row((lease.key.as_str(), lease.fence), |row| row.get(0)).optional()?;
    let epoch = raised.ok_or_else(|| CatalogError::LeaseLost { key: lease.key.clone() })?;
    append_history(
        tx,
        &NewHistoryEntry { key: lease.key.clone(), at, event: "version_changed", detail: Some(without_nul(why)) },
    )?;
    Ok(epoch)
}

pub(super) fn pin(
    tx: &Connection,
    key: &ClipKey,
    epoch: i64,
    version: &SourceVersion,
    view: Option<&View>,
) -> Result<Option<Pinned>> {
    const SQL: &str = "UPDATE clips SET version = ifnull(version, ?3), \
        view = CASE WHEN ifnull(version, ?3) = ?3 THEN ifnull(view, ?4) ELSE view END \
        WHERE key = ?1 AND epoch = ?2 RETURNING key, version, view";
    let params = (key.as_str(), epoch, row::version_text(version), view.map(ToString::to_string));
    Ok(first(tx, SQL, params, |row| row::pinned(row))?.flatten())
}

pub(super) fn decide_view(tx: &Connection, key: &ClipKey, epoch: i64, view: &View) -> Result<Option<View>> {
    const SQL: &str = "UPDATE clips SET view = ifnull(view, ?3) WHERE key = ?1 AND epoch = ?2 RETURNING key, view";
    let params = (key.as_str(), epoch, view.to_string());
    Ok(first(tx, SQL, params, |row| row::view(row))?.flatten())
}

pub(super) fn decide_type(tx: &Connection, key: &ClipKey, epoch: i64, name: &str) -> Result<Option<String>> {
    const SQL: &str = "UPDATE clips SET served_type = ifnull(served_type, ?3) WHERE key = ?1 AND epoch = ?2 \
        RETURNING key, served_type";
    Ok(first(tx, SQL, (key.as_str(), epoch, name), |row| row::served_type(row))?.flatten())
}

pub(super) fn seal(tx: &Connection, lease: &Lease, sealed: &Sealed, at: Timestamp) -> Result<()> {
    const SQL: &str = "UPDATE clips SET size = :size, sha256 = :sha256, sealed_kind = :kind, \
        sealed_content_type = :content_type, duration = :duration, width = :width, height = :height, fps = :fps, \
        codec = :codec, c2pa = :c2pa, vanished = CASE WHEN size IS NULL THEN 0 ELSE vanished END \
        WHERE key = :key AND fence = :fence AND state = 'filling'";
    let media = &sealed.media;
    let size = i64::try_from(sealed.size).map_err(|error| CatalogError::unavailable("sealing a clip", error))?;
    let params = named_params! {
        ":key": lease.key.as_str(),
        ":fence": lease.fence,
        ":size": size,
        ":sha256": sealed.sha256,
        ":kind": media.kind.as_str(),
        ":content_type": media.content_type,
        ":duration": media.duration,
        ":width": media.width,
        ":height": media.height,
        ":fps": media.fps,
        ":codec": media.codec.as_deref().map(without_nul),
        ":c2pa": media.c2pa,
    };
    under_lease(tx, lease, SQL, params)?;
    let line = NewHistoryEntry { key: lease.key.clone(), at, event: "sealed", detail: None };
    append_history_with_bytes(tx, &line, Some(size))
}

/// Ends a lease. One that this very lease has ended so already stays ended: a
/// caller may ask again when it did not hear the first answer.
pub(super) fn end(tx: &Connection, lease: &Lease, ending: &Ending) -> Result<()> {
    const SQL: &str = "UPDATE clips SET state = :state, due_at = :due, queue_at = :due, queued = 0, \
        lease_node = NULL, lease_until = NULL, attempts = attempts - :uncounted, misses = misses + :misses, \
        vanished = CASE WHEN :uncounted > 0 THEN vanished ELSE 0 END, \
        last_error = CASE :state WHEN 'stored' THEN NULL ELSE ifnull(:why, last_error) END, \
        stored_at = CASE :state WHEN 'stored' THEN :at ELSE stored_at END, refused = :refused, \
        poster_due = CASE :state WHEN 'stored' THEN :at + 60000 END, \
        duration_at = CASE WHEN :state = 'stored' AND duration IS NOT NULL AND model_at IS NOT NULL \
        THEN coalesce(duration_at, :at) ELSE duration_at END, \
        adopted = CASE :state WHEN 'stored' THEN source_url LIKE 'store:%' ELSE adopted END, \
        kind = CASE :state WHEN 'stored' THEN sealed_kind ELSE kind END, \
        content_type = CASE :state WHEN 'stored' THEN sealed_content_type ELSE content_type END \
        WHERE key = :key AND fence = :fence AND state = 'filling'";
    const ENDED: &str = "SELECT 1 FROM clips WHERE key = ?1 AND fence = ?2 AND state = ?3";
    let key = lease.key.as_str();
    let ended = tx.prepare_cached(SQL)?.execute(named_params! {
        ":key": key,
        ":fence": lease.fence,
        ":state": ending.state.as_str(),
        ":at": ending.attempt.at.millis(),
        ":due": ending.due.map(|time| time.millis()),
        ":why": ending.why,
        ":uncounted": ending.uncounted,
        ":misses": ending.misses,
        ":refused": ending.refused,
    })?;
    if ended == 0 {
        let so_already = (key, lease.fence, ending.state.as_str());
        return match first(tx, ENDED, so_already, |_| Ok(()))? {
            Some(()) => Ok(()),
            None => Err(CatalogError::LeaseLost { key: lease.key.clone() }),
        };
    }
    let Ending { attempt, event, emits, why, .. } = ending;
    if let Some(kind) = emits {
        emit_clip_event(tx, &lease.key, attempt.at, *kind, why.as_deref())?;
    }
    if ending.is_in_vain() {
        search::forget_after(tx, &lease.key)?;
    }
    sharing::record_duplicate(tx, &lease.key)?;
    if ending.state == ClipState::Stored && !ending.shares {
        storage_periods::open(tx, &lease.key, attempt.at)?;
    }
    let line = NewHistoryEntry { key: lease.key.clone(), at: attempt.at, event, detail: why.clone() };
    append_history_with_bytes(tx, &line, Some(attempt.bytes()))
}
