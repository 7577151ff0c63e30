//! Word search in PostgreSQL. An index of words has no order of time, and a word
//! that half of all prompts hold would have to be sorted by the million. So the
//! newest clips are walked through first, which soon finds common words; what is
//! rare among those is asked of the index.

use clipkeep_core::{time::Timestamp, words::Words};
use deadpool_postgres::GenericClient;
use tokio_postgres::types::ToSql;

use super::{
    super::{
        ClipFilter, ClipPage, Cursor, Result,
        page::{self, Statement, Value},
        row::{self, select_clips},
        words::{FEW, Found, Sift, is_few, sought},
    },
    PostgresCatalog,
    find::{self, all, first, sql_value},
    pool::on,
};

/// How many of the newest clips are looked at before anything is known.
const STEP: i64 = 4_000;
/// How many may be, if those have shown that it is worth it.
const FAR: i64 = 40_000;

/// Finds the last of the next so many clips.
pub const FLOOR: &str = "SELECT created_at, key FROM clip_words \
    WHERE created_at >= $1 AND (created_at, key) < ($2, $3) ORDER BY created_at DESC, key DESC OFFSET $4 LIMIT 1";

/// Which clips are searched: older than `from`, not older than `to`.
struct Range {
    from: Found,
    to: Found,
}

/// How the words are compared.
#[derive(Clone, Copy)]
enum Way {
    /// Row by row: the function is no operator that an index knows.
    Walk,
    /// By the index of words.
    Index,
}

fn statement(sought: &str, filter: &ClipFilter, range: &Range, way: Way, limit: i64) -> Statement {
    let values = vec![
        Value::Text(sought.to_owned()),
        Value::Int(range.from.created_at),
        Value::Text(range.from.key.clone()),
        Value::Int(range.to.created_at),
        Value::Text(range.to.key.clone()),
        Value::Int(limit),
    ];
    let holds = match way {
        Way::Walk => "ts_match_vq(words, $1::text::tsquery)",
        Way::Index => "words @@ $1::text::tsquery",
    };
    let mut conditions = Statement { sql: String::new(), values };
    conditions.narrow(filter, '$');
    // One row after the other, in order, until there are enough; never a join
    // with all clips.
    let exact = match conditions.sql.as_str() {
        "" => String::new(),
        all => format!("CROSS JOIN LATERAL (SELECT FROM clips c WHERE {all}c.key = w.key OFFSET 0) c"),
    };
    let sql = format!(
        "WITH found AS MATERIALIZED (SELECT created_at, key FROM clip_words WHERE {holds} \
         AND (created_at, key) < ($2, $3) AND (created_at, key) >= ($4, $5)) \
         SELECT w.created_at, w.key FROM (SELECT * FROM found ORDER BY created_at DESC, key DESC) w {exact} \
         ORDER BY w.created_at DESC, w.key DESC LIMIT $6"
    );
    Statement { sql, ..conditions }
}

async fn find_in(client: &impl GenericClient, statement: &Statement) -> Result<Vec<Found>> {
    let values: Vec<&(dyn ToSql + Sync)> = statement.values.iter().map(sql_value).collect();
    all(client, &statement.sql, &values, |row| Ok(Found { created_at: row.try_get(0)?, key: row.try_get(1)? })).await
}

async fn pick(
    client: &impl GenericClient,
    words: &Words,
    filter: &ClipFilter,
    after: Option<&Cursor>,
    wanted: i64,
) -> Result<Vec<Found>> {
    let sought: Vec<String> = sought(words, filter).iter().map(|word| format!("'{word}'")).collect();
    let sought = sought.join(" & ");
    let since = filter.created_after.map_or(i64::MIN, Timestamp::millis);
    let end = Found { created_at: since, key: String::new() };
    let (mut from, mut found) = (Found::start(filter, after), Vec::new());
    let (mut step, mut walked) = (STEP, 0);
    loop {
        let params: [&(dyn ToSql + Sync); 4] = [&since, &from.created_at, &from.key, &(step - 1)];
        let floor =
            first(client, FLOOR, &params, |row| Ok(Found { created_at: row.try_get(0)?, key: row.try_get(1)? }));
        let floor = floor.await?;
        let range = Range { from, to: floor.clone().unwrap_or_else(|| end.clone()) };
        let missing = wanted - found.len() as i64;
        found.extend(find_in(client, &statement(&sought, filter, &range, Way::Walk, missing)).await?);
        let missing = wanted - found.len() as i64;
        let Some(floor) = floor.filter(|_| missing > 0) else { return Ok(found) };
        from = floor;
        walked += step;
        // So many more must be walked through, if the older are like the newer.
        let ahead = (missing * walked).checked_div(found.len() as i64).unwrap_or(i64::MAX);
        if walked.saturating_add(ahead) > FAR {
            let range = Range { from, to: end };
            found.extend(find_in(client, &statement(&sought, filter, &range, Way::Index, missing)).await?);
            return Ok(found);
        }
        step = (ahead + ahead / 4).max(STEP);
    }
}

async fn search(
    client: &impl GenericClient,
    words: &Words,
    filter: &ClipFilter,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<ClipPage> {
    if is_few(filter) || is_rare(client, filter).await? {
        let mut sift = Sift::new(words, filter, after, limit);
        loop {
            let listed = find::clips(client, &sift.filter, sift.after.as_ref(), page::MOST).await?;
            if let Some(page) = sift.take(listed) {
                return Ok(page);
            }
        }
    }
    const SQL: &str = select_clips!("WHERE c.key = ANY($1::text[]) ORDER BY c.created_at DESC, c.key DESC");
    let found = pick(client, words, filter, after, i64::from(page::size(limit)) + 1).await?;
    let keys: Vec<&str> = found.iter().map(|one| one.key.as_str()).collect();
    Ok(page::page(all(client, SQL, &[&keys], row::clip).await?, limit))
}

/// Whether the rarest of what is asked for is rare.
async fn is_rare(client: &impl GenericClient, filter: &ClipFilter) -> Result<bool> {
    const STATE: &str = "SELECT count(*) FROM (SELECT 1 FROM clips WHERE state = $1 LIMIT $2) few";
    const SEED: &str = "SELECT count(*) FROM (SELECT 1 FROM clips WHERE seed = $1 LIMIT $2) few";
    let mut rare = false;
    if let Some(state) = filter.state {
        let count = first(client, STATE, &[&state.as_str(), &FEW], |row| Ok(row.try_get::<_, i64>(0)?)).await?;
        rare |= count.is_some_and(|count| count < FEW);
    }
    if let Some(seed) = filter.seed {
        let count = first(client, SEED, &[&seed, &FEW], |row| Ok(row.try_get::<_, i64>(0)?)).await?;
        rare |= count.is_some_and(|count| count < FEW);
    }
    Ok(rare)
}

impl PostgresCatalog {
    /// A page of clips whose prompts hold these words.
    pub(super) async fn search(
        &self,
        words: &Words,
        filter: &ClipFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<ClipPage> {
        on(&self.pool, "searching clips by words", async |client| search(&client, words, filter, after, limit).await)
            .await
    }
}
