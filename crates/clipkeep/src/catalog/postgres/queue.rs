//! The queue and the leases, each write one statement with its line of
//! history. A lease is judged by its fence alone, and times are the caller's:
//! no clock of the database is asked.

use clipkeep_core::{
    event::EventType, generation::Sealed, id::ClipKey, state::ClipState, time::Timestamp, version::SourceVersion,
    view::View,
};
use deadpool_postgres::{GenericClient, Object};
use tokio_postgres::{Row, types::ToSql};

use super::{
    super::{
        CatalogError, Claim, FRESH_FOR, Lease, MAX_VANISHED, NodeId, Pinned, Quota, Result,
        due::{MAX_ENDED_PER_CLAIM, NO_ANSWER, by_deadline},
        ending::Ending,
        merge::without_nul,
        page,
        row::{self, clip_columns},
    },
    find::{all, first},
    search,
};

/// Who takes leases, when, and until when.
pub(super) struct Take<'a> {
    pub(super) node: &'a NodeId,
    pub(super) now: Timestamp,
    pub(super) until: Timestamp,
}

/// Moves clips among the backlog: deferred ones that are due (`$1`), and others
/// that are due since `$2` or longer; bounded, soonest first.
pub const PROMOTE: &str = "WITH deferred AS (SELECT key FROM clips \
    WHERE queue_at IS NOT NULL AND NOT queued AND policy = 'deferred' AND queue_at <= $1 ORDER BY queue_at LIMIT $3 \
    FOR NO KEY UPDATE SKIP LOCKED), others AS (SELECT key FROM clips \
    WHERE queue_at IS NOT NULL AND NOT queued AND policy <> 'deferred' AND queue_at <= $2 ORDER BY queue_at LIMIT $3 \
    FOR NO KEY UPDATE SKIP LOCKED), come AS (SELECT key FROM deferred UNION ALL SELECT key FROM others) \
    UPDATE clips c SET queued = TRUE FROM come WHERE c.key = come.key";

/// Leases the clips that this picks. Whose lease another process let run out
/// vanished with that.
macro_rules! lease_picked {
    ($picked:literal) => {
        concat!(
            "WITH picked AS (SELECT key, CASE WHEN state = 'filling' AND lease_node <> $3 THEN lease_node END AS gone \
             FROM clips ",
            $picked,
            "), claimed AS (UPDATE clips t SET state = 'filling', lease_node = $3, lease_until = $4, queue_at = $4, \
             queued = FALSE, fence = t.fence + 1, attempts = t.attempts + 1, \
             vanished = t.vanished + CASE WHEN picked.gone IS NULL THEN 0 ELSE 1 END \
             FROM picked WHERE t.key = picked.key RETURNING t.*, picked.gone), \
             logged AS (INSERT INTO history (key, at, event, detail) SELECT key, $1, event, detail FROM ( \
             SELECT key, 1 AS place, 'vanished' AS event, gone AS detail FROM claimed WHERE gone IS NOT NULL UNION ALL \
             SELECT key, 2, 'claimed', $3 || ', attempt ' || attempts FROM claimed) l ORDER BY key, place) \
             SELECT ",
            clip_columns!(),
            " FROM claimed c JOIN generations g ON g.provider = c.provider AND g.request_id = c.request_id \
             ORDER BY c.source_expires_at, c.due_at, c.key"
        )
    };
}

/// Claims fresh clips, newest first.
pub const CLAIM_NEWEST: &str = lease_picked!(
    "WHERE queue_at IS NOT NULL AND NOT queued AND policy <> 'deferred' AND queue_at <= $1 \
    AND queue_at > $5 AND vanished = 0 ORDER BY queue_at DESC LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED"
);

/// Claims backlog by urgency. A clock that was set back leaves clips queued
/// whose time is to come again, hence the second look at `queue_at`.
pub const CLAIM_BACKLOG: &str = lease_picked!(
    "WHERE queued AND queue_at <= $1 AND vanished = 0 \
    ORDER BY source_expires_at, due_at, key LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED"
);

pub const CLAIM_SUSPECTS: &str = lease_picked!(
    "WHERE vanished > 0 AND queue_at IS NOT NULL AND queue_at <= $1 \
    ORDER BY queue_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED"
);

/// Ends the clips that this picks, if their attempts vanished once too often.
macro_rules! end_vanished {
    ($picked:literal) => {
        concat!(
            "WITH picked AS (SELECT key FROM clips WHERE ",
            $picked,
            " AND state = 'filling' AND lease_until <= $1 AND lease_node <> $2 AND vanished + 1 >= $3 \
             ORDER BY queue_at LIMIT $5 FOR NO KEY UPDATE SKIP LOCKED), \
             ended AS (UPDATE clips t SET state = 'rejected', due_at = NULL, queue_at = NULL, queued = FALSE, \
             lease_node = NULL, lease_until = NULL, last_error = $4 \
             FROM picked WHERE t.key = picked.key RETURNING t.key, t.provider, t.request_id), \
             announced AS (INSERT INTO events (at, type, provider, request_id, key, detail) \
             SELECT $1, 'clip.rejected', provider, request_id, key, $4 FROM ended), \
             logged AS (INSERT INTO history (key, at, event, detail) SELECT key, $1, 'rejected', $4 FROM ended) \
             SELECT key FROM ended"
        )
    };
}

/// Ends clips whose attempts vanished once too often.
pub const END_VANISHED: &str = end_vanished!("vanished > 0 AND queue_at IS NOT NULL AND queue_at <= $1");

const CLAIM: &str = lease_picked!(
    "WHERE key = $2 \
    AND (state = 'waiting' OR (state = 'filling' AND lease_until <= $1)) FOR NO KEY UPDATE"
);

/// Claims clips that are due.
pub(super) async fn claim_due(mut client: Object, take: &Take<'_>, quota: Quota) -> Result<Vec<Claim>> {
    let tx = client.transaction().await?;
    let promote = tx.prepare_cached(PROMOTE).await?;
    let (now, stale) = (take.now.millis(), take.now.minus(FRESH_FOR).millis());
    let (node, until) = (take.node, take.until.millis());
    let fresh = async |limit: u32| {
        let params: &[&(dyn ToSql + Sync)] = &[&now, &i64::from(page::size(limit)), node, &until, &stale];
        pick(&tx, CLAIM_NEWEST, limit, params).await
    };
    end_vanished(&tx, END_VANISHED, take, None).await?;
    let limit = quota.suspects();
    let params: &[&(dyn ToSql + Sync)] = &[&now, &i64::from(page::size(limit)), node, &until];
    let mut claims = pick(&tx, CLAIM_SUSPECTS, limit, params).await?;
    claims.extend(fresh(quota.fresh_first(claims.len())).await?);
    tx.execute(&promote, &[&now, &stale, &i64::from(quota.promoted())]).await?;
    let limit = quota.backlog_share(claims.len());
    let params: &[&(dyn ToSql + Sync)] = &[&now, &i64::from(page::size(limit)), node, &until];
    let of_backlog = pick(&tx, CLAIM_BACKLOG, limit, params).await?;
    claims.extend(of_backlog.into_iter().map(|claim| Claim { backlog: true, ..claim }));
    claims.extend(fresh(quota.remainder(claims.len())).await?);
    tx.commit().await?;
    claims.sort_by(by_deadline);
    Ok(claims)
}

async fn pick(
    client: &impl GenericClient,
    sql: &str,
    limit: u32,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Claim>> {
    if limit == 0 { Ok(Vec::new()) } else { all(client, sql, params, claimed).await }
}

/// Claims one clip, due or not.
pub(super) async fn claim(client: &impl GenericClient, take: &Take<'_>, key: &ClipKey) -> Result<Option<Claim>> {
    const END: &str = end_vanished!("key = $6");
    end_vanished(client, END, take, Some(key)).await?;
    let params: &[&(dyn ToSql + Sync)] = &[&take.now.millis(), &key.as_str(), take.node, &take.until.millis()];
    first(client, CLAIM, params, claimed).await
}

async fn end_vanished(client: &impl GenericClient, sql: &str, take: &Take<'_>, key: Option<&ClipKey>) -> Result<()> {
    let (now, key) = (take.now.millis(), key.map(ClipKey::as_str));
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&now, take.node, &MAX_VANISHED, &NO_ANSWER, &MAX_ENDED_PER_CLAIM];
    params.extend(key.as_ref().map(|key| key as &(dyn ToSql + Sync)));
    let ended: Vec<String> = all(client, sql, &params, |row| Ok(row.try_get("key")?)).await?;
    if !ended.is_empty() {
        search::forget_after(client, &ended.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    }
    Ok(())
}

fn claimed(row: &Row) -> Result<Claim> {
    let clip = row::clip(row)?;
    Ok(Claim { lease: Lease { key: clip.key.clone(), fence: row::fence(row)? }, clip, backlog: false })
}

fn lease_lost(lease: &Lease) -> CatalogError {
    CatalogError::LeaseLost { key: lease.key.clone() }
}

/// Runs a write that its `WHERE` makes depend on the lease.
async fn under_lease(
    client: &impl GenericClient,
    lease: &Lease,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<()> {
    let statement = client.prepare_cached(sql).await?;
    match client.execute(&statement, params).await? {
        0 => Err(lease_lost(lease)),
        _ => Ok(()),
    }
}

pub(super) async fn renew(client: &impl GenericClient, lease: &Lease, until: Timestamp, reached: u64) -> Result<()> {
    const SQL: &str = "UPDATE clips SET lease_until = $3, queue_at = $3, queued = FALSE, \
        vanished = CASE WHEN $4 > reached + reached / 10 THEN 0 ELSE vanished END, \
        reached = CASE WHEN $4 > reached + reached / 10 THEN $4 ELSE reached END \
        WHERE key = $1 AND fence = $2 AND state = 'filling'";
    let reached = i64::try_from(reached).unwrap_or(i64::MAX);
    under_lease(client, lease, SQL, &[&lease.key.as_str(), &lease.fence, &until.millis(), &reached]).await
}

pub(super) async fn raise_epoch(client: &impl GenericClient, lease: &Lease, at: Timestamp, why: &str) -> Result<i64> {
    const SQL: &str = "WITH raised AS (UPDATE clips SET epoch = epoch + 1, size = NULL, sha256 = NULL, \
        sealed_kind = NULL, sealed_content_type = NULL, duration = NULL, width = NULL, height = NULL, fps = NULL, \
        codec = NULL, c2pa = NULL, served_type = NULL, view = NULL, version = NULL WHERE key = $1 AND fence = $2 AND state = 'filling' RETURNING key, epoch), \
        logged AS (INSERT INTO history (key, at, event, detail) SELECT key, $3, 'version_changed', $4 FROM raised) \
        SELECT epoch FROM raised";
    let params: &[&(dyn ToSql + Sync)] = &[&lease.key.as_str(), &lease.fence, &at.millis(), &without_nul(why)];
    let epoch = first(client, SQL, params, |row| Ok(row.try_get("epoch")?)).await?;
    epoch.ok_or_else(|| lease_lost(lease))
}

pub(super) async fn pin(
    client: &impl GenericClient,
    key: &ClipKey,
    epoch: i64,
    version: &SourceVersion,
    view: Option<&View>,
) -> Result<Option<Pinned>> {
    const SQL: &str = "UPDATE clips SET version = coalesce(version, $3), \
        view = CASE WHEN coalesce(version, $3) = $3 THEN coalesce(view, $4) ELSE view END \
        WHERE key = $1 AND epoch = $2 RETURNING key, version, view";
    let view = view.map(ToString::to_string);
    let params: &[&(dyn ToSql + Sync)] = &[&key.as_str(), &epoch, &row::version_text(version), &view];
    Ok(first(client, SQL, params, row::pinned).await?.flatten())
}

pub(super) async fn decide_view(
    client: &impl GenericClient,
    key: &ClipKey,
    epoch: i64,
    view: &View,
) -> Result<Option<View>> {
    const SQL: &str = "UPDATE clips SET view = coalesce(view, $3) WHERE key = $1 AND epoch = $2 RETURNING key, view";
    let params: &[&(dyn ToSql + Sync)] = &[&key.as_str(), &epoch, &view.to_string()];
    Ok(first(client, SQL, params, row::view).await?.flatten())
}

pub(super) async fn decide_type(
    client: &impl GenericClient,
    key: &ClipKey,
    epoch: i64,
    name: &str,
) -> Result<Option<String>> {
    const SQL: &str = "UPDATE clips SET served_type = coalesce(served_type, $3) WHERE key = $1 AND epoch = $2 \
        RETURNING key, served_type";
    Ok(first(client, SQL, &[&key.as_str(), &epoch, &name], row::served_type).await?.flatten())
}

pub(super) async fn seal(client: &impl GenericClient, lease: &Lease, sealed: &Sealed, at: Timestamp) -> Result<()> {
    const SQL: &str = "WITH sealed AS (UPDATE clips SET size = $3, sha256 = $4, sealed_kind = $5, \
        sealed_content_type = $6, duration = $7, width = $8, height = $9, fps = $10, codec = $11, c2pa = $13, \
        vanished = CASE WHEN size IS NULL THEN 0 ELSE vanished END \
        WHERE key = $1 AND fence = $2 AND state = 'filling' RETURNING key, size) \
        INSERT INTO history (key, at, event, bytes) SELECT key, $12, 'sealed', size FROM sealed";
    let media = &sealed.media;
    let size = i64::try_from(sealed.size).map_err(|error| CatalogError::unavailable("sealing a clip", error))?;
    let params: &[&(dyn ToSql + Sync)] = &[
        &lease.key.as_str(),
        &lease.fence,
        &size,
        &sealed.sha256,
        &media.kind.as_str(),
        &media.content_type,
        &media.duration,
        &media.width.map(i64::from),
        &media.height.map(i64::from),
        &media.fps,
        &media.codec.as_deref().map(without_nul),
        &at.millis(),
        &media.c2pa,
    ];
    under_lease(client, lease, SQL, params).await
}

/// Ends a lease for good and in vain: with the generation's last clip its texts
/// may have to go.
pub(super) async fn end_in_vain(client: &mut Object, lease: &Lease, ending: &Ending) -> Result<()> {
    let tx = client.transaction().await?;
    search::take_turn(&tx, &lease.key).await?;
    end(&tx, lease, ending).await?;
    search::forget_after(&tx, &[lease.key.as_str()]).await?;
    Ok(tx.commit().await?)
}

/// Ends a lease. One that this very lease has ended so already stays ended: a
/// caller may ask again when it did not hear the first answer.
pub(super) async fn end(client: &impl GenericClient, lease: &Lease, ending: &Ending) -> Result<()> {
    const SQL: &str = "WITH ended AS (UPDATE clips SET state = $3, due_at = $5, queue_at = $5, queued = FALSE, \
        lease_node = NULL, lease_until = NULL, attempts = attempts - $7, misses = misses + $9, \
        vanished = CASE WHEN $7 > 0 THEN vanished ELSE 0 END, \
        last_error = CASE $3 WHEN 'stored' THEN NULL ELSE coalesce($6, last_error) END, \
        stored_at = CASE $3 WHEN 'stored' THEN $4 ELSE stored_at END, refused = $13, \
        poster_due = CASE $3 WHEN 'stored' THEN $4 + 60000 END, \
        duration_at = CASE WHEN $3 = 'stored' AND duration IS NOT NULL AND model_at IS NOT NULL \
        THEN coalesce(duration_at, $4) ELSE duration_at END, \
        adopted = CASE $3 WHEN 'stored' THEN source_url LIKE 'store:%' ELSE adopted END, \
        kind = CASE $3 WHEN 'stored' THEN sealed_kind ELSE kind END, \
        content_type = CASE $3 WHEN 'stored' THEN sealed_content_type ELSE content_type END \
        WHERE key = $1 AND fence = $2 AND state = 'filling' \
        RETURNING key, provider, request_id, tenant, sha256, size), \
        kept AS (INSERT INTO storage_periods (key, tenant, size, from_at) SELECT key, coalesce(tenant, ''), size, $4 FROM ended \
        WHERE $12 ON CONFLICT DO NOTHING), \
        repeated AS (INSERT INTO duplicates (tenant, sha256, newest_at) SELECT coalesce(e.tenant, ''), e.sha256, $4 \
        FROM ended e WHERE $3 = 'stored' AND EXISTS (SELECT 1 FROM clips t \
        WHERE coalesce(t.tenant, '') = coalesce(e.tenant, '') AND t.sha256 = e.sha256 AND t.key <> e.key \
        AND t.state IN ('stored', 'filling')) ON CONFLICT (tenant, sha256) \
        DO UPDATE SET newest_at = greatest(duplicates.newest_at, excluded.newest_at)), \
        announced AS (INSERT INTO events (at, type, provider, request_id, key, detail) \
        SELECT $4, $10, provider, request_id, key, $6 FROM ended WHERE $10::text IS NOT NULL) \
        INSERT INTO history (key, at, event, detail, bytes) SELECT key, $4, $8, $6, $11 FROM ended";
    const ENDED: &str = "SELECT 1 FROM clips WHERE key = $1 AND fence = $2 AND state = $3";
    let (key, state) = (lease.key.as_str(), ending.state.as_str());
    let due = ending.due.map(|time| time.millis());
    let params: &[&(dyn ToSql + Sync)] = &[
        &key,
        &lease.fence,
        &state,
        &ending.attempt.at.millis(),
        &due,
        &ending.why,
        &ending.uncounted,
        &ending.event,
        &ending.misses,
        &ending.emits.map(EventType::as_str),
        &ending.attempt.bytes(),
        &(ending.state == ClipState::Stored && !ending.shares),
        &ending.refused,
    ];
    let ended = under_lease(client, lease, SQL, params).await;
    if !matches!(ended, Err(CatalogError::LeaseLost { .. })) {
        return ended;
    }
    match first(client, ENDED, &[&key, &lease.fence, &state], |_| Ok(())).await? {
        Some(()) => Ok(()),
        None => ended,
    }
}
