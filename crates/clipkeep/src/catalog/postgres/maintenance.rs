//! Deletion, retention, drift, verification.

use async_trait::async_trait;
use clipkeep_core::{id::ClipKey, state::ClipState, time::Timestamp};
use deadpool_postgres::{GenericClient, Object};
use tokio_postgres::types::ToSql;

use super::{
    super::{
        AgedClip, CatalogError, Cursor, Deletion, Maintenance, Result, StoredObject,
        merge::without_nul,
        page,
        row::{self, Columns as _},
    },
    PostgresCatalog,
    find::{all, first},
    pool::{may_run_again, on},
    search::take_turn,
    sharing::{TRIES, again, lock, look_after},
    storage_periods,
};

/// What a row says of its object; a `WHERE` follows.
macro_rules! select_objects {
    ($tail:literal) => {
        concat!(
            "SELECT key, epoch, size, sha256, stored_at, verified_at, source_url, object_key, \
             (SELECT o.state FROM clips o WHERE o.key = clips.object_key) AS owner_state \
             FROM clips WHERE state = 'stored' ",
            $tail
        )
    };
}

/// Reads stored rows by key.
pub const STORED_OBJECTS: &str = select_objects!("AND key > $1 ORDER BY key LIMIT $2");

/// Reads the oldest rows that are not open.
pub const AGED: &str = "(SELECT key, created_at, model, tenant FROM clips WHERE state = 'stored' \
    AND created_at < $1 AND (created_at, key) > ($2, $3) ORDER BY created_at, key LIMIT $4) UNION ALL \
    (SELECT key, created_at, model, tenant FROM clips WHERE state = 'lost' \
    AND created_at < $1 AND (created_at, key) > ($2, $3) ORDER BY created_at, key LIMIT $4) UNION ALL \
    (SELECT key, created_at, model, tenant FROM clips WHERE state = 'rejected' \
    AND created_at < $1 AND (created_at, key) > ($2, $3) ORDER BY created_at, key LIMIT $4) \
    ORDER BY created_at, key LIMIT $4";

/// Finds what is to be verified.
pub const UNVERIFIED: &str = select_objects!(
    "AND verified_at < $1 AND (verified_at, key) > ($2, $3) \
    ORDER BY verified_at, key LIMIT $4"
);

/// Finds tombstones whose objects are to be removed.
pub const TOMBSTONES: &str =
    "SELECT key FROM clips WHERE remove_at IS NOT NULL AND remove_at <= $1 ORDER BY remove_at, key LIMIT $2";

const DELETE: &str = "WITH gone AS (UPDATE clips SET state = 'deleted', due_at = NULL, queue_at = NULL, \
    queued = FALSE, lease_node = NULL, lease_until = NULL, fence = fence + 1, remove_at = $3, deleted_at = $2, \
    unshare_at = NULL, refused = NULL \
    WHERE key = $1 AND state <> 'deleted' RETURNING key, provider, request_id), \
    announced AS (INSERT INTO events (at, type, provider, request_id, key, detail) \
    SELECT $2, 'clip.deleted', provider, request_id, key, $4 FROM gone), \
    forgotten AS (UPDATE generations g SET prompt = NULL, input = NULL FROM gone \
    WHERE g.request_id = gone.request_id AND g.provider = gone.provider AND NOT EXISTS (SELECT 1 FROM clips c \
    WHERE c.request_id = g.request_id AND c.provider = g.provider AND c.key <> gone.key \
    AND c.state IN ('waiting', 'filling', 'stored')) RETURNING g.request_id, g.provider), \
    unsaid AS (UPDATE unread u SET payload = NULL FROM forgotten f \
    WHERE u.request_id = f.request_id AND u.provider = f.provider), \
    unworded AS (DELETE FROM clip_words w WHERE w.key IN (SELECT key FROM gone UNION ALL SELECT c.key FROM clips c \
    JOIN forgotten f ON c.request_id = f.request_id AND c.provider = f.provider)) \
    INSERT INTO history (key, at, event, detail) SELECT key, $2, 'deleted', $4 FROM gone";

const REMOVED: &str = "WITH gone AS (UPDATE clips SET remove_at = NULL WHERE key = $1 AND remove_at <= $2 \
    RETURNING key, object_key) INSERT INTO history (key, at, event) SELECT key, $2, CASE \
    WHEN EXISTS (SELECT 1 FROM clips r WHERE r.state = 'stored' AND r.object_key = coalesce(gone.object_key, gone.key)) \
    OR EXISTS (SELECT 1 FROM clips r WHERE r.state = 'stored' AND r.key = gone.object_key) \
    THEN 'spared' ELSE 'removed' END FROM gone";

const NOT_REMOVED: &str = "WITH put_off AS (UPDATE clips \
    SET remove_at = $2 + least(60000::bigint << least(stayed, 11)::int, 86400000), stayed = stayed + 1 \
    WHERE key = $1 AND remove_at <= $2 RETURNING key, stayed = 1 AS is_first), \
    logged AS (INSERT INTO history (key, at, event) SELECT key, $2, 'not_removed' FROM put_off WHERE is_first) \
    SELECT is_first FROM put_off";

/// Starts all clips over whose bytes are under `$1`.
const OBJECT_LOST: &str = "WITH these AS (SELECT key FROM clips WHERE state = 'stored' \
    AND (object_key = $1 OR (key = $1 AND object_key IS NULL)) ORDER BY key FOR NO KEY UPDATE), \
    again AS (UPDATE clips c SET state = 'waiting', due_at = $4, queue_at = $4, queued = FALSE, \
    epoch = c.epoch + 1, attempts = 0, misses = 0, at_risk_reported = FALSE, last_error = $3, restarted_at = $2, \
    stored_at = NULL, verified_at = 0, adopted = FALSE, vanished = 0, reached = 0, was_sha256 = c.sha256, \
    was_duration = coalesce(c.was_duration, c.duration), object_key = NULL, unshare_at = NULL, size = NULL, \
    sha256 = NULL, sealed_kind = NULL, sealed_content_type = NULL, duration = NULL, width = NULL, height = NULL, \
    fps = NULL, codec = NULL, c2pa = NULL, served_type = NULL, view = NULL, version = NULL \
    FROM these WHERE c.key = these.key RETURNING c.key, c.provider, c.request_id), \
    ended AS (UPDATE storage_periods s SET to_at = greatest(s.from_at, $2) FROM again \
    WHERE s.key = again.key AND s.to_at IS NULL), \
    announced AS (INSERT INTO events (at, type, provider, request_id, key) \
    SELECT $2, 'clip.revised', provider, request_id, key FROM again) \
    INSERT INTO history (key, at, event, detail) SELECT key, $2, 'object_lost', $3 FROM again";

const DAMAGED: &str = "WITH logged AS (INSERT INTO history (key, at, event, detail) \
    SELECT key, $3, 'damaged', $4 FROM clips c WHERE key = $1 AND epoch = $2 AND state = 'stored' \
    AND NOT EXISTS (SELECT 1 FROM (SELECT at, event, detail FROM history WHERE key = $1 ORDER BY id DESC LIMIT 1) l \
    WHERE l.event = 'damaged' AND l.detail = $4 AND l.at >= c.verified_at) RETURNING key) \
    INSERT INTO events (at, type, provider, request_id, key) \
    SELECT $3, 'clip.revised', provider, request_id, key FROM clips WHERE key IN (SELECT key FROM logged)";

const IS_DAMAGED: &str = "SELECT 1 FROM clips c WHERE key = $1 AND epoch = $2 AND state = 'stored' \
    AND EXISTS (SELECT 1 FROM history h WHERE h.key = c.key AND h.event = 'damaged' \
    AND h.at >= c.verified_at AND h.at >= c.stored_at)";

const VERIFIED: &str = "UPDATE clips SET verified_at = $3 WHERE key = $1 AND epoch = $2 AND state = 'stored'";

const BEGIN_RUN: &str = "INSERT INTO runs (name, began_at) VALUES ($1, $2) \
    ON CONFLICT (name) DO UPDATE SET began_at = runs.began_at RETURNING began_at";

async fn execute(client: &impl GenericClient, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.execute(&statement, params).await?)
}

async fn number(client: &impl GenericClient, sql: &str, value: i64) -> Result<u64> {
    let found = first(client, sql, &[&value], |row| Ok(row.int("number").ok().flatten())).await?;
    Ok(found.flatten().and_then(|number| u64::try_from(number).ok()).unwrap_or_default())
}

/// Forgets the words, too, and with the generation's last clip its texts. So
/// that two such clips do not each take the other for the last, they take turns
/// at the generation; a statement of its own then sees what the other did.
async fn delete(
    client: &mut Object,
    key: &ClipKey,
    at: Timestamp,
    remove_at: Timestamp,
    why: &str,
) -> Result<Deletion> {
    const KNOWN: &str = "SELECT 1 FROM clips WHERE key = $1";
    let why = without_nul(why);
    let tx = client.transaction().await?;
    take_turn(&tx, key).await?;
    let object = locked_object(&tx, key).await?;
    let told = execute(&tx, DELETE, &[&key.as_str(), &at.millis(), &remove_at.millis(), &why]).await?;
    if told > 0 {
        storage_periods::hand_over(&tx, key.as_str(), &object, at).await?;
    }
    tx.commit().await?;
    if told > 0 {
        return Ok(Deletion::Deleted);
    }
    let known = first(client, KNOWN, &[&key.as_str()], |_| Ok(())).await?;
    Ok(known.map_or(Deletion::Unknown, |()| Deletion::Already))
}

/// Under which key the clip's bytes are, if it has any; nobody joins them or
/// leaves them while that row is locked.
async fn locked_object(tx: &impl GenericClient, key: &ClipKey) -> Result<String> {
    const OBJECT: &str = "SELECT coalesce(object_key, key) AS object FROM clips WHERE key = $1";
    let look = async || first(tx, OBJECT, &[&key.as_str()], |row| Ok(row.try_get::<_, String>("object")?)).await;
    let mut object = look().await?.unwrap_or_default();
    loop {
        lock(tx, &[key.as_str(), object.as_str()]).await?;
        // It may have been unshared before its row was locked, once.
        let now = look().await?.unwrap_or_default();
        if now == object {
            return Ok(object);
        }
        object = now;
    }
}

/// What one clip's object being lost means for all that share it. None joins
/// them while the row that names the object is locked.
async fn object_lost(
    client: &mut Object,
    (key, epoch): (&ClipKey, i64),
    at: Timestamp,
    due: Timestamp,
    why: &str,
) -> Result<bool> {
    const OBJECT: &str = "SELECT coalesce(object_key, key) AS key FROM clips \
        WHERE key = $1 AND epoch = $2 AND state = 'stored'";
    let tx = client.transaction().await?;
    let object = async || first(&tx, OBJECT, &[&key.as_str(), &epoch], row::key).await;
    let Some(found) = object().await? else { return Ok(false) };
    lock(&tx, &[found.as_str()]).await?;
    match object().await? {
        Some(still) if still == found => {}
        // It was unshared, or somebody was faster.
        _ => return Ok(false),
    }
    let params: &[&(dyn ToSql + Sync)] = &[&found.as_str(), &at.millis(), &why, &due.millis()];
    execute(&tx, OBJECT_LOST, params).await?;
    look_after(&tx, found.as_str(), at).await?;
    tx.commit().await?;
    Ok(true)
}

#[async_trait]
impl Maintenance for PostgresCatalog {
    async fn identity(&self) -> Result<String> {
        let read = async |client: Object| {
            let id = client.query_one("SELECT id FROM identity", &[]).await?.try_get("id");
            id.map_err(CatalogError::from)
        };
        on(&self.pool, "reading the catalogue's id", read).await
    }

    async fn delete(&self, key: &ClipKey, at: Timestamp, remove_at: Timestamp, why: &str) -> Result<Deletion> {
        on(&self.pool, "deleting a clip", async |mut client| again!(delete(&mut client, key, at, remove_at, why))).await
    }

    async fn tombstones(&self, now: Timestamp, limit: u32) -> Result<Vec<ClipKey>> {
        let limit = i64::from(page::size(limit));
        let look = async |client| all(&client, TOMBSTONES, &[&now.millis(), &limit], row::key).await;
        on(&self.pool, "looking for tombstones", look).await
    }

    async fn count_tombstones(&self, now: Timestamp) -> Result<u64> {
        const SQL: &str = "SELECT count(*) AS number FROM clips WHERE remove_at IS NOT NULL AND remove_at <= $1";
        on(&self.pool, "counting tombstones", async |client| number(&client, SQL, now.millis()).await).await
    }

    async fn removed(&self, key: &ClipKey, at: Timestamp) -> Result<()> {
        let close = async |client| execute(&client, REMOVED, &[&key.as_str(), &at.millis()]).await.map(drop);
        on(&self.pool, "closing a tombstone", close).await
    }

    async fn not_removed(&self, key: &ClipKey, at: Timestamp) -> Result<bool> {
        let is_first = |row: &tokio_postgres::Row| Ok(row.try_get::<_, bool>("is_first")?);
        let put_off = async |client| first(&client, NOT_REMOVED, &[&key.as_str(), &at.millis()], is_first).await;
        Ok(on(&self.pool, "putting a removal off", put_off).await?.unwrap_or_default())
    }

    async fn stored_objects(&self, after: Option<&ClipKey>, limit: u32) -> Result<Vec<StoredObject>> {
        let (after, limit) = (after.map_or("", ClipKey::as_str), i64::from(page::size(limit)));
        let list = async |client| all(&client, STORED_OBJECTS, &[&after, &limit], row::object).await;
        on(&self.pool, "listing stored clips", list).await
    }

    async fn stored_object(&self, key: &ClipKey) -> Result<Option<StoredObject>> {
        const SQL: &str = select_objects!("AND key = $1");
        let find = async |client| first(&client, SQL, &[&key.as_str()], row::object).await;
        on(&self.pool, "finding a stored clip", find).await
    }

    async fn aged(&self, after: Option<&Cursor>, before: Timestamp, limit: u32) -> Result<Vec<AgedClip>> {
        let (since, key) = after.map_or((i64::MIN, ""), |at| (at.created_at.millis(), at.key.as_str()));
        let (before, limit) = (before.millis(), i64::from(page::size(limit)));
        let look = async |client| all(&client, AGED, &[&before, &since, &key, &limit], row::aged).await;
        on(&self.pool, "looking for old clips", look).await
    }

    async fn states(&self, keys: &[ClipKey]) -> Result<Vec<(ClipKey, ClipState)>> {
        const SQL: &str = "SELECT key, state FROM clips WHERE key = ANY($1::text[])";
        let keys: Vec<&str> = keys.iter().map(ClipKey::as_str).collect();
        on(&self.pool, "looking up clips", async |client| all(&client, SQL, &[&keys], row::state).await).await
    }

    async fn object_lost(&self, key: &ClipKey, epoch: i64, at: Timestamp, due: Timestamp, why: &str) -> Result<bool> {
        let why = without_nul(why);
        let lose = async |mut client| again!(object_lost(&mut client, (key, epoch), at, due, &why));
        on(&self.pool, "starting a clip over", lose).await
    }

    async fn leases_run_out(&self, now: Timestamp) -> Result<u64> {
        const SQL: &str = "SELECT count(*) AS number FROM clips WHERE state = 'filling' AND lease_until <= $1";
        on(&self.pool, "counting leases", async |client| number(&client, SQL, now.millis()).await).await
    }

    async fn begin_run(&self, name: &str, now: Timestamp) -> Result<Timestamp> {
        let params: &[&(dyn ToSql + Sync)] = &[&name, &now.millis()];
        let began = |row: &tokio_postgres::Row| Ok(row.try_get("began_at")?);
        let begin = async |client| first(&client, BEGIN_RUN, params, began).await;
        let began: Option<i64> = on(&self.pool, "beginning a run", begin).await?;
        Ok(began.map_or(now, Timestamp::from_millis))
    }

    async fn end_run(&self, name: &str) -> Result<()> {
        const SQL: &str = "DELETE FROM runs WHERE name = $1";
        on(&self.pool, "ending a run", async |client| execute(&client, SQL, &[&name]).await.map(drop)).await
    }

    async fn unverified(
        &self,
        since: Timestamp,
        after: Option<&(Timestamp, ClipKey)>,
        limit: u32,
    ) -> Result<Vec<StoredObject>> {
        let (at, key) = after.map_or((i64::MIN, ""), |(at, key)| (at.millis(), key.as_str()));
        let (since, limit) = (since.millis(), i64::from(page::size(limit)));
        let look = async |client| all(&client, UNVERIFIED, &[&since, &at, &key, &limit], row::object).await;
        on(&self.pool, "looking for clips to verify", look).await
    }

    async fn count_unverified(&self, since: Timestamp) -> Result<u64> {
        const SQL: &str = "SELECT count(*) AS number FROM clips WHERE state = 'stored' AND verified_at < $1";
        on(&self.pool, "counting clips to verify", async |client| number(&client, SQL, since.millis()).await).await
    }

    async fn sample(&self, many: u32) -> Result<Vec<ClipKey>> {
        const SQL: &str = "SELECT key FROM clips WHERE state = 'stored' ORDER BY random() LIMIT $1";
        let many = i64::from(many);
        on(&self.pool, "sampling clips", async |client| all(&client, SQL, &[&many], row::key).await).await
    }

    async fn verified(&self, key: &ClipKey, epoch: i64, at: Timestamp) -> Result<()> {
        let mark = async |client| execute(&client, VERIFIED, &[&key.as_str(), &epoch, &at.millis()]).await.map(drop);
        on(&self.pool, "marking a clip verified", mark).await
    }

    async fn is_damaged(&self, key: &ClipKey, epoch: i64) -> Result<bool> {
        let params: &[&(dyn ToSql + Sync)] = &[&key.as_str(), &epoch];
        let look = async |client| first(&client, IS_DAMAGED, params, |_| Ok(())).await;
        on(&self.pool, "looking for damage", look).await.map(|found: Option<()>| found.is_some())
    }

    async fn damaged(&self, key: &ClipKey, epoch: i64, at: Timestamp, what: &str) -> Result<()> {
        let what = without_nul(what);
        let params: &[&(dyn ToSql + Sync)] = &[&key.as_str(), &epoch, &at.millis(), &what];
        on(&self.pool, "noting damage", async |client| execute(&client, DAMAGED, params).await.map(drop)).await
    }
}
