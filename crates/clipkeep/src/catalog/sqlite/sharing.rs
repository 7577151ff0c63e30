//! Sharing objects. There is one writer, so what a transaction looked at is
//! still so when it writes.

use async_trait::async_trait;
use clipkeep_core::{
    id::{ClipKey, Tenant},
    time::Timestamp,
};
use rusqlite::Connection;

use super::{
    super::{
        Attempt, Lease, Result,
        ending::Ending,
        merge::NewHistoryEntry,
        page, row,
        sharing::{
            Duplicate, DuplicateCursor, DuplicateGroup, DuplicatePage, EXAMPLES, ObjectOwner, Sharing, Unsharing,
            cursor, cut, duplicate, duplicate_group, example, object_owner, unsharing,
        },
    },
    SqliteCatalog,
    find::{all, first},
    queue,
    record::append_history,
    storage_periods,
};

/// Finds a clip with the bytes of `?1`.
pub const DUPLICATE: &str = "SELECT t.key, coalesce(t.object_key, t.key) AS object_key, t.size, t.sha256 FROM clips c \
    CROSS JOIN clips t WHERE c.key = ?1 AND coalesce(t.tenant, '') = coalesce(c.tenant, '') \
    AND t.sha256 = coalesce(c.sha256, CASE WHEN c.version IS NULL THEN c.was_sha256 END) \
    AND (c.size IS NULL OR c.size = t.size) AND t.key <> c.key AND t.state = 'stored' AND t.unshare_at IS NULL \
    AND t.adopted = 0 ORDER BY t.key LIMIT 1";

/// Whether `?2` is still a duplicate of `?1` whose bytes are under `?3`.
const STILL: &str = "SELECT 1 FROM clips c JOIN clips t ON t.key = ?2 JOIN clips o ON o.key = ?3 \
    WHERE c.key = ?1 AND t.state = 'stored' AND t.unshare_at IS NULL AND coalesce(t.object_key, t.key) = o.key \
    AND o.key <> c.key AND t.sha256 = coalesce(c.sha256, CASE WHEN c.version IS NULL THEN c.was_sha256 END) \
    AND coalesce(t.tenant, '') = coalesce(c.tenant, '') AND coalesce(o.tenant, '') = coalesce(c.tenant, '')";

const SEAL: &str = "UPDATE clips AS c SET size = t.size, sha256 = t.sha256, sealed_kind = t.sealed_kind, \
    sealed_content_type = t.sealed_content_type, duration = t.duration, width = t.width, height = t.height, \
    fps = t.fps, codec = t.codec, c2pa = t.c2pa FROM clips t WHERE c.key = ?1 AND c.sha256 IS NULL AND t.key = ?2";

/// Those of `?1`'s two objects that no stored clip refers to any more.
pub const REMOVALS: &str = "SELECT o.key FROM (SELECT key FROM clips WHERE key = ?1 \
    UNION ALL SELECT object_key FROM clips WHERE key = ?1 AND object_key IS NOT NULL) n JOIN clips o ON o.key = n.key \
    WHERE o.state = 'deleted' \
    AND NOT EXISTS (SELECT 1 FROM clips r WHERE r.object_key = o.key AND r.state = 'stored')";

const OBJECT_OWNERS: &str = "SELECT key, state, (state = 'deleted' OR (state = 'stored' AND object_key IS NOT NULL AND unshare_at IS NULL)) \
    AND NOT EXISTS (SELECT 1 FROM clips r WHERE r.object_key = n.key AND r.state = 'stored') AS spare \
    FROM clips n WHERE key = ?1 UNION ALL SELECT was_key, state, 1 FROM clips \
    WHERE was_key = ?1 AND NOT EXISTS (SELECT 1 FROM clips WHERE key = ?1)";

const SHARERS: &str = "SELECT (SELECT count(*) FROM clips r WHERE r.object_key = n.object AND r.state = 'stored' \
    AND r.key <> ?1) + (SELECT count(*) FROM clips r WHERE r.key = n.object AND r.state = 'stored' AND r.key <> ?1) \
    FROM (SELECT coalesce(object_key, key) AS object FROM clips WHERE key = ?1 AND state = 'stored') n";

/// Marks clips that share an object to be unshared. Left to itself SQLite would read all stored ones.
pub const SCHEDULE_UNSHARING: &str = "UPDATE clips SET unshare_at = ?1 WHERE key IN (SELECT key FROM clips INDEXED BY clips_object \
    WHERE object_key IS NOT NULL AND state = 'stored' AND unshare_at IS NULL LIMIT ?2)";

/// Claims clips that are due to be unshared.
pub const CLAIM_UNSHARING: &str = "UPDATE clips SET unshare_at = ?2 WHERE key IN (SELECT key FROM clips \
    WHERE unshare_at IS NOT NULL AND unshare_at <= ?1 ORDER BY unshare_at LIMIT ?3) RETURNING key, epoch, object_key, size";

/// Reads which bytes came more than once, newest first.
pub const DUPLICATES: &str = "SELECT tenant, sha256, newest_at FROM duplicates \
    WHERE (newest_at, tenant, sha256) < (?1, ?2, ?3) ORDER BY newest_at DESC, tenant DESC, sha256 DESC LIMIT ?4";

/// The same of one tenant.
pub const TENANT_DUPLICATES: &str = "SELECT tenant, sha256, newest_at FROM duplicates \
    WHERE tenant = ?5 AND (newest_at, tenant, sha256) < (?1, ?2, ?3) ORDER BY newest_at DESC, sha256 DESC LIMIT ?4";

/// Counts the clips that have certain bytes.
pub const DUPLICATE_GROUP: &str = "SELECT ?2 AS sha256, max(size) AS size, count(*) AS clips, \
    count(DISTINCT coalesce(object_key, key)) AS objects FROM clips \
    WHERE coalesce(tenant, '') = ?1 AND sha256 = ?2 AND state = 'stored'";

/// Names some of them.
pub const MEMBERS: &str = "SELECT c.key, g.model, g.prompt, g.prompt_hash, g.seed, g.seed_beyond, c.created_at FROM clips c \
    JOIN generations g ON g.provider = c.provider AND g.request_id = c.request_id \
    WHERE coalesce(c.tenant, '') = ?1 AND c.sha256 = ?2 AND c.state = 'stored' ORDER BY c.key LIMIT ?3";

/// Notes that the bytes of the stored clip `?1` came more than once, if they did.
/// One that is sealed and about to be stored counts.
const RECORD_DUPLICATE: &str = "INSERT INTO duplicates (tenant, sha256, newest_at) \
    SELECT coalesce(c.tenant, ''), c.sha256, c.stored_at FROM clips c WHERE c.key = ?1 AND c.state = 'stored' \
    AND EXISTS (SELECT 1 FROM clips t WHERE coalesce(t.tenant, '') = coalesce(c.tenant, '') \
    AND t.sha256 = c.sha256 AND t.key <> c.key AND t.state IN ('stored', 'filling')) \
    ON CONFLICT (tenant, sha256) DO UPDATE SET newest_at = max(newest_at, excluded.newest_at)";

/// A clip was stored, or its tenant became known.
pub(super) fn record_duplicate(tx: &Connection, key: &ClipKey) -> Result<()> {
    tx.prepare_cached(RECORD_DUPLICATE)?.execute([key.as_str()])?;
    Ok(())
}

/// The tenants (or models) of these clips became known: nobody shares across
/// tenants.
pub(super) fn retagged(tx: &Connection, clips: &[(ClipKey, Timestamp)]) -> Result<()> {
    const SCHEDULE_UNSHARING: &str = "UPDATE clips SET unshare_at = ?2 WHERE key IN (SELECT s.key FROM ( \
        SELECT key, object_key, tenant FROM clips WHERE object_key = ?1 AND state = 'stored' UNION ALL \
        SELECT key, object_key, tenant FROM clips WHERE key = ?1 AND object_key IS NOT NULL AND state = 'stored') s \
        JOIN clips o ON o.key = s.object_key WHERE coalesce(s.tenant, '') <> coalesce(o.tenant, ''))";
    for (key, at) in clips {
        tx.prepare_cached(SCHEDULE_UNSHARING)?.execute((key.as_str(), at.millis()))?;
        record_duplicate(tx, key)?;
        storage_periods::retag(tx, key, *at)?;
    }
    Ok(())
}

fn mark_shared(tx: &Connection, lease: &Lease, duplicate: &Duplicate, attempt: Attempt) -> Result<bool> {
    const REFER: &str = "UPDATE clips SET object_key = ?2, was_sha256 = NULL WHERE key = ?1";
    let (key, of, object) = (lease.key.as_str(), duplicate.key.as_str(), duplicate.object.as_str());
    if first(tx, STILL, [key, of, object], |_| Ok(()))?.is_none() {
        return Ok(false);
    }
    // Only whoever holds it may write what follows.
    queue::renew(tx, lease, attempt.at, 0)?;
    tx.prepare_cached(SEAL)?.execute([key, of])?;
    append_history(tx, &NewHistoryEntry { key: lease.key.clone(), at: attempt.at, event: "shared", detail: None })?;
    queue::end(tx, lease, &Ending::shared(attempt))?;
    tx.prepare_cached(REFER)?.execute([key, object])?;
    Ok(true)
}

/// A tombstone that nobody may refer to any more is looked after once more.
pub(super) fn look_after(tx: &Connection, object: &str, remove_at: Timestamp) -> Result<()> {
    const SQL: &str = "UPDATE clips SET remove_at = ?2 WHERE key = ?1 AND state = 'deleted'";
    tx.prepare_cached(SQL)?.execute((object, remove_at.millis()))?;
    Ok(())
}

fn unshared(tx: &Connection, unsharing: &Unsharing, at: Timestamp, remove_at: Timestamp) -> Result<bool> {
    const SQL: &str = "UPDATE clips SET object_key = NULL, unshare_at = NULL \
        WHERE key = ?1 AND epoch = ?2 AND object_key = ?3 AND state = 'stored'";
    const EMIT: &str = "INSERT INTO events (at, type, provider, request_id, key) \
        SELECT ?2, 'clip.revised', provider, request_id, key FROM clips WHERE key = ?1";
    let Unsharing { key, epoch, object, .. } = unsharing;
    if tx.prepare_cached(SQL)?.execute((key.as_str(), epoch, object.as_str()))? == 0 {
        return Ok(false);
    }
    tx.prepare_cached(EMIT)?.execute((key.as_str(), at.millis()))?;
    append_history(tx, &NewHistoryEntry { key: key.clone(), at, event: "unshared", detail: None })?;
    storage_periods::hand_over(tx, key, object.as_str(), at)?;
    storage_periods::open(tx, key, at)?;
    look_after(tx, object.as_str(), remove_at)?;
    Ok(true)
}

fn duplicates(
    db: &Connection,
    tenant: Option<&str>,
    after: Option<&DuplicateCursor>,
    limit: u32,
) -> Result<DuplicatePage> {
    let (at, whose, sha256) =
        after.map_or((i64::MAX, "", ""), |at| (at.newest_at.millis(), at.tenant.as_str(), at.sha256.as_str()));
    let most = page::size(limit) + 1;
    let mut found = match tenant {
        Some(tenant) => all(db, TENANT_DUPLICATES, (at, whose, sha256, most, tenant), |row| cursor(row))?,
        None => all(db, DUPLICATES, (at, whose, sha256, most), |row| cursor(row))?,
    };
    let next = cut(&mut found, limit);
    let mut duplicates = Vec::new();
    for of in &found {
        let bytes = [of.tenant.as_str(), of.sha256.as_str()];
        let examples = all(db, MEMBERS, (bytes[0], bytes[1], EXAMPLES), |row| example(row))?;
        duplicates.extend(
            first::<Option<DuplicateGroup>>(db, DUPLICATE_GROUP, bytes, |row| {
                duplicate_group(row, of, examples.clone())
            })?
            .flatten(),
        );
    }
    Ok(DuplicatePage { duplicates, next })
}

fn count(db: &Connection, sql: &str, key: &str) -> Result<u64> {
    let count = first(db, sql, [key], |row| Ok(row.get::<_, i64>(0)?))?.unwrap_or_default();
    Ok(u64::try_from(count).unwrap_or_default())
}

#[async_trait]
impl Sharing for SqliteCatalog {
    async fn find_duplicate(&self, key: &ClipKey) -> Result<Option<Duplicate>> {
        let key = key.clone();
        let look = move |db: &Connection| first(db, DUPLICATE, [key.as_str()], |row| duplicate(row));
        self.readers.read("looking for the same bytes", look).await
    }

    async fn mark_shared(&self, lease: &Lease, duplicate: &Duplicate, attempt: Attempt) -> Result<bool> {
        let (lease, duplicate) = (lease.clone(), duplicate.clone());
        self.writer.write("sharing an object", move |tx| mark_shared(tx, &lease, &duplicate, attempt)).await
    }

    async fn removals(&self, key: &ClipKey) -> Result<Vec<ClipKey>> {
        let key = key.clone();
        let look = move |db: &Connection| all(db, REMOVALS, [key.as_str()], |row| row::key(row));
        self.readers.read("asking who refers to an object", look).await
    }

    async fn object_owners(&self, keys: &[ClipKey]) -> Result<Vec<ObjectOwner>> {
        let keys = keys.to_vec();
        let look = move |db: &Connection| {
            let found = keys.iter().map(|key| first(db, OBJECT_OWNERS, [key.as_str()], |row| object_owner(row)));
            found.filter_map(Result::transpose).collect()
        };
        self.readers.read("asking whose an object is", look).await
    }

    async fn sharers(&self, key: &ClipKey) -> Result<u64> {
        let key = key.clone();
        self.readers.read("counting who shares", move |db| count(db, SHARERS, key.as_str())).await
    }

    async fn schedule_unsharing(&self, now: Timestamp, limit: u32) -> Result<u64> {
        let work =
            move |tx: &Connection| Ok(tx.prepare_cached(SCHEDULE_UNSHARING)?.execute((now.millis(), limit))? as u64);
        self.writer.write("scheduling clips to be unshared", work).await
    }

    async fn claim_unsharing(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Unsharing>> {
        let params = (now.millis(), until.millis(), page::size(limit));
        let claim = move |tx: &Connection| all(tx, CLAIM_UNSHARING, params, |row| unsharing(row));
        self.writer.write_unsynced("claiming clips to be unshared", claim).await
    }

    async fn unshared(&self, unsharing: &Unsharing, at: Timestamp, remove_at: Timestamp) -> Result<bool> {
        let unsharing = unsharing.clone();
        self.writer.write("unsharing clips", move |tx| unshared(tx, &unsharing, at, remove_at)).await
    }

    async fn duplicates(
        &self,
        tenant: Option<&Tenant>,
        after: Option<&DuplicateCursor>,
        limit: u32,
    ) -> Result<DuplicatePage> {
        let (tenant, after) = (tenant.cloned(), after.cloned());
        let look = move |db: &Connection| duplicates(db, tenant.as_ref().map(Tenant::as_str), after.as_ref(), limit);
        self.readers.read("listing what came more than once", look).await
    }
}
