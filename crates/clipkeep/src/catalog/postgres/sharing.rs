//! Sharing objects. Whoever refers to an object locks the row whose key names
//! it first, and so does whoever starts all its clips over or learns whose it
//! is: then each sees what the other did.

use async_trait::async_trait;
use clipkeep_core::{
    id::{ClipKey, Tenant},
    time::Timestamp,
};
use deadpool_postgres::{GenericClient, Object};
use tokio_postgres::types::ToSql;

use super::{
    super::{
        Attempt, Lease, Result,
        ending::Ending,
        page,
        row::{self, Columns as _},
        sharing::{
            Duplicate, DuplicateCursor, DuplicatePage, EXAMPLES, ObjectOwner, Sharing, Unsharing, cursor, cut,
            duplicate, duplicate_group, example, object_owner, unsharing,
        },
    },
    PostgresCatalog,
    find::{all, first},
    pool::{may_run_again, on},
    queue, storage_periods,
};

/// How often a transaction runs that others collide with.
pub(super) const TRIES: usize = 5;

/// Finds a clip with the bytes of `$1`.
pub const DUPLICATE: &str = "SELECT t.key, coalesce(t.object_key, t.key) AS object_key, t.size, t.sha256 FROM clips c \
    JOIN clips t ON coalesce(t.tenant, '') = coalesce(c.tenant, '') \
    AND t.sha256 = coalesce(c.sha256, CASE WHEN c.version IS NULL THEN c.was_sha256 END) \
    WHERE c.key = $1 AND (c.size IS NULL OR c.size = t.size) AND t.key <> c.key AND t.state = 'stored' \
    AND t.unshare_at IS NULL AND NOT t.adopted ORDER BY t.key LIMIT 1";

/// Locks rows in the order in which all transactions do.
const LOCK: &str = "SELECT key FROM clips WHERE key = ANY($1::text[]) ORDER BY key FOR NO KEY UPDATE";

/// Whether `$2` is still a duplicate of `$1` whose bytes are under `$3`.
const STILL: &str = "SELECT 1 FROM clips c JOIN clips t ON t.key = $2 JOIN clips o ON o.key = $3 \
    WHERE c.key = $1 AND t.state = 'stored' AND t.unshare_at IS NULL AND coalesce(t.object_key, t.key) = o.key \
    AND o.key <> c.key AND t.sha256 = coalesce(c.sha256, CASE WHEN c.version IS NULL THEN c.was_sha256 END) \
    AND coalesce(t.tenant, '') = coalesce(c.tenant, '') AND coalesce(o.tenant, '') = coalesce(c.tenant, '')";

const SEAL: &str = "UPDATE clips c SET size = t.size, sha256 = t.sha256, sealed_kind = t.sealed_kind, \
    sealed_content_type = t.sealed_content_type, duration = t.duration, width = t.width, height = t.height, \
    fps = t.fps, codec = t.codec, c2pa = t.c2pa FROM clips t WHERE c.key = $1 AND c.sha256 IS NULL AND t.key = $2";

/// Those of `$1`'s two objects that no stored clip refers to any more.
pub const REMOVALS: &str = "SELECT o.key FROM (SELECT key FROM clips WHERE key = $1 \
    UNION ALL SELECT object_key FROM clips WHERE key = $1 AND object_key IS NOT NULL) n JOIN clips o ON o.key = n.key \
    WHERE o.state = 'deleted' \
    AND NOT EXISTS (SELECT 1 FROM clips r WHERE r.object_key = o.key AND r.state = 'stored')";

const OBJECT_OWNERS: &str = "SELECT key, state, (CASE WHEN (state = 'deleted' OR (state = 'stored' AND object_key IS NOT NULL AND unshare_at IS NULL)) \
    AND NOT EXISTS (SELECT 1 FROM clips r WHERE r.object_key = n.key AND r.state = 'stored') THEN 1 ELSE 0 END)::bigint \
    AS spare FROM clips n WHERE key = ANY($1::text[]) \
    UNION ALL SELECT w.was_key, w.state, 1 FROM clips w WHERE w.was_key = ANY($1::text[]) \
    AND NOT EXISTS (SELECT 1 FROM clips o WHERE o.key = w.was_key)";

const SHARERS: &str = "SELECT (SELECT count(*) FROM clips r WHERE r.object_key = n.object AND r.state = 'stored' \
    AND r.key <> $1) + (SELECT count(*) FROM clips r WHERE r.key = n.object AND r.state = 'stored' AND r.key <> $1) \
    AS number FROM (SELECT coalesce(object_key, key) AS object FROM clips WHERE key = $1 AND state = 'stored') n";

/// Marks clips that share an object to be unshared.
pub const SCHEDULE_UNSHARING: &str = "UPDATE clips SET unshare_at = $1 WHERE key IN (SELECT key FROM clips \
    WHERE object_key IS NOT NULL AND state = 'stored' AND unshare_at IS NULL LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED)";

/// Claims clips that are due to be unshared.
pub const CLAIM_UNSHARING: &str = "WITH due AS (SELECT key FROM clips WHERE unshare_at IS NOT NULL AND unshare_at <= $1 \
    ORDER BY unshare_at, key LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED) \
    UPDATE clips c SET unshare_at = $2 FROM due WHERE c.key = due.key RETURNING c.key, c.epoch, c.object_key, c.size";

/// Reads which bytes came more than once, newest first.
pub const DUPLICATES: &str = "SELECT tenant, sha256, newest_at FROM duplicates \
    WHERE (newest_at, tenant, sha256) < ($1, $2, $3) ORDER BY newest_at DESC, tenant DESC, sha256 DESC LIMIT $4";

/// The same of one tenant.
pub const TENANT_DUPLICATES: &str = "SELECT tenant, sha256, newest_at FROM duplicates \
    WHERE tenant = $5 AND (newest_at, tenant, sha256) < ($1, $2, $3) \
    ORDER BY newest_at DESC, sha256 DESC LIMIT $4";

/// Counts the clips that have certain bytes.
pub const DUPLICATE_GROUP: &str = "SELECT $2::text AS sha256, max(size) AS size, count(*) AS clips, \
    count(DISTINCT coalesce(object_key, key)) AS objects FROM clips \
    WHERE coalesce(tenant, '') = $1 AND sha256 = $2 AND state = 'stored'";

/// Names some of them.
pub const MEMBERS: &str = "SELECT c.key, g.model, g.prompt, g.prompt_hash, g.seed, g.seed_beyond, c.created_at FROM clips c \
    JOIN generations g ON g.provider = c.provider AND g.request_id = c.request_id \
    WHERE coalesce(c.tenant, '') = $1 AND c.sha256 = $2 AND c.state = 'stored' ORDER BY c.key LIMIT $3";

async fn execute(client: &impl GenericClient, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.execute(&statement, params).await?)
}

/// Locks the rows of these keys.
pub(super) async fn lock(tx: &impl GenericClient, keys: &[&str]) -> Result<()> {
    execute(tx, LOCK, &[&keys]).await.map(drop)
}

/// The tenants (or models) of these clips, whose rows are locked, became known:
/// nobody shares across tenants.
pub(super) async fn retagged(tx: &impl GenericClient, clips: &[(ClipKey, Timestamp)]) -> Result<()> {
    const SCHEDULE_UNSHARING: &str = "UPDATE clips c SET unshare_at = $2 FROM clips o WHERE o.key = c.object_key AND c.state = 'stored' \
        AND (c.object_key = ANY($1::text[]) OR (c.object_key IS NOT NULL AND c.key = ANY($1::text[]))) \
        AND coalesce(c.tenant, '') <> coalesce(o.tenant, '')";
    const RECORD_DUPLICATES: &str = "INSERT INTO duplicates (tenant, sha256, newest_at) \
        SELECT coalesce(c.tenant, ''), c.sha256, max(c.stored_at) FROM clips c \
        WHERE c.key = ANY($1::text[]) AND c.state = 'stored' \
        AND EXISTS (SELECT 1 FROM clips t WHERE coalesce(t.tenant, '') = coalesce(c.tenant, '') \
        AND t.sha256 = c.sha256 AND t.key <> c.key AND t.state IN ('stored', 'filling')) \
        GROUP BY coalesce(c.tenant, ''), c.sha256 \
        ON CONFLICT (tenant, sha256) DO UPDATE SET newest_at = greatest(duplicates.newest_at, excluded.newest_at)";
    let Some((_, at)) = clips.last() else { return Ok(()) };
    let keys: Vec<&str> = clips.iter().map(|(key, _)| key.as_str()).collect();
    execute(tx, SCHEDULE_UNSHARING, &[&keys, &at.millis()]).await?;
    execute(tx, RECORD_DUPLICATES, &[&keys]).await?;
    storage_periods::retag(tx, clips).await
}

/// A tombstone that nobody may refer to any more is looked after once more.
pub(super) async fn look_after(tx: &impl GenericClient, object: &str, remove_at: Timestamp) -> Result<()> {
    const SQL: &str = "UPDATE clips SET remove_at = $2 WHERE key = $1 AND state = 'deleted'";
    execute(tx, SQL, &[&object, &remove_at.millis()]).await.map(drop)
}

/// Runs a transaction again while others collide with it.
macro_rules! again {
    ($once:expr) => {{
        let mut tries = 1;
        loop {
            match $once.await {
                Err(error) if tries < TRIES && may_run_again(&error) => tries += 1,
                done => break done,
            }
        }
    }};
}
pub(super) use again;

async fn mark_shared(client: &mut Object, lease: &Lease, duplicate: &Duplicate, attempt: Attempt) -> Result<bool> {
    const TELL: &str = "INSERT INTO history (key, at, event) VALUES ($1, $2, 'shared')";
    const REFER: &str = "UPDATE clips SET object_key = $2, was_sha256 = NULL WHERE key = $1";
    let (key, of, object) = (lease.key.as_str(), duplicate.key.as_str(), duplicate.object.as_str());
    let tx = client.transaction().await?;
    lock(&tx, &[key, of, object]).await?;
    if first(&tx, STILL, &[&key, &of, &object], |_| Ok(())).await?.is_none() {
        return Ok(false);
    }
    // Only whoever holds it may write what follows.
    queue::renew(&tx, lease, attempt.at, 0).await?;
    execute(&tx, SEAL, &[&key, &of]).await?;
    execute(&tx, TELL, &[&key, &attempt.at.millis()]).await?;
    queue::end(&tx, lease, &Ending::shared(attempt)).await?;
    execute(&tx, REFER, &[&key, &object]).await?;
    tx.commit().await?;
    Ok(true)
}

async fn unshared(client: &mut Object, unsharing: &Unsharing, at: Timestamp, remove_at: Timestamp) -> Result<bool> {
    const SQL: &str = "WITH unshared AS (UPDATE clips SET object_key = NULL, unshare_at = NULL \
        WHERE key = $1 AND epoch = $2 AND object_key = $3 AND state = 'stored' RETURNING key, provider, request_id), \
        announced AS (INSERT INTO events (at, type, provider, request_id, key) \
        SELECT $4, 'clip.revised', provider, request_id, key FROM unshared) \
        INSERT INTO history (key, at, event) SELECT key, $4, 'unshared' FROM unshared";
    let Unsharing { key, epoch, object, .. } = unsharing;
    let (key, object) = (key.as_str(), object.as_str());
    let tx = client.transaction().await?;
    lock(&tx, &[key, object]).await?;
    if execute(&tx, SQL, &[&key, epoch, &object, &at.millis()]).await? == 0 {
        return Ok(false);
    }
    storage_periods::hand_over(&tx, key, object, at).await?;
    storage_periods::open(&tx, key, at).await?;
    look_after(&tx, object, remove_at).await?;
    tx.commit().await?;
    Ok(true)
}

async fn duplicates(
    client: &impl GenericClient,
    tenant: Option<&Tenant>,
    after: Option<&DuplicateCursor>,
    limit: u32,
) -> Result<DuplicatePage> {
    let (at, whose, sha256) =
        after.map_or((i64::MAX, "", ""), |at| (at.newest_at.millis(), at.tenant.as_str(), at.sha256.as_str()));
    let most = i64::from(page::size(limit)) + 1;
    let mut found = match tenant.map(Tenant::as_str) {
        Some(tenant) => all(client, TENANT_DUPLICATES, &[&at, &whose, &sha256, &most, &tenant], cursor).await?,
        None => all(client, DUPLICATES, &[&at, &whose, &sha256, &most], cursor).await?,
    };
    let next = cut(&mut found, limit);
    let mut duplicates = Vec::new();
    for of in &found {
        let examples = all(client, MEMBERS, &[&of.tenant, &of.sha256, &i64::from(EXAMPLES)], example).await?;
        let counted = |row: &_| duplicate_group(row, of, examples.clone());
        duplicates.extend(first(client, DUPLICATE_GROUP, &[&of.tenant, &of.sha256], counted).await?.flatten());
    }
    Ok(DuplicatePage { duplicates, next })
}

#[async_trait]
impl Sharing for PostgresCatalog {
    async fn find_duplicate(&self, key: &ClipKey) -> Result<Option<Duplicate>> {
        let look = async |client| first(&client, DUPLICATE, &[&key.as_str()], duplicate).await;
        on(&self.pool, "looking for the same bytes", look).await
    }

    async fn mark_shared(&self, lease: &Lease, duplicate: &Duplicate, attempt: Attempt) -> Result<bool> {
        let share = async |mut client| again!(mark_shared(&mut client, lease, duplicate, attempt));
        on(&self.pool, "sharing an object", share).await
    }

    async fn removals(&self, key: &ClipKey) -> Result<Vec<ClipKey>> {
        let look = async |client| all(&client, REMOVALS, &[&key.as_str()], row::key).await;
        on(&self.pool, "asking who refers to an object", look).await
    }

    async fn object_owners(&self, keys: &[ClipKey]) -> Result<Vec<ObjectOwner>> {
        let keys: Vec<&str> = keys.iter().map(ClipKey::as_str).collect();
        on(&self.pool, "asking whose an object is", async |client| {
            all(&client, OBJECT_OWNERS, &[&keys], object_owner).await
        })
        .await
    }

    async fn sharers(&self, key: &ClipKey) -> Result<u64> {
        let number = |row: &tokio_postgres::Row| Ok(row.int("number").ok().flatten().unwrap_or_default());
        let count = async |client| first(&client, SHARERS, &[&key.as_str()], number).await;
        let count = on(&self.pool, "counting who shares", count).await?;
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
    }

    async fn schedule_unsharing(&self, now: Timestamp, limit: u32) -> Result<u64> {
        let work = async |client| execute(&client, SCHEDULE_UNSHARING, &[&now.millis(), &i64::from(limit)]).await;
        on(&self.pool, "scheduling clips to be unshared", work).await
    }

    async fn claim_unsharing(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Unsharing>> {
        let limit = i64::from(page::size(limit));
        let params: &[&(dyn ToSql + Sync)] = &[&now.millis(), &until.millis(), &limit];
        let claim = async |client| all(&client, CLAIM_UNSHARING, params, unsharing).await;
        on(&self.pool, "claiming clips to be unshared", claim).await
    }

    async fn unshared(&self, unsharing: &Unsharing, at: Timestamp, remove_at: Timestamp) -> Result<bool> {
        let work = async |mut client| again!(unshared(&mut client, unsharing, at, remove_at));
        on(&self.pool, "unsharing clips", work).await
    }

    async fn duplicates(
        &self,
        tenant: Option<&Tenant>,
        after: Option<&DuplicateCursor>,
        limit: u32,
    ) -> Result<DuplicatePage> {
        let look = async |client| duplicates(&client, tenant, after, limit).await;
        on(&self.pool, "listing what came more than once", look).await
    }
}
