//! Word search in PostgreSQL. An index of words has no order of time: it would
//! yield every match there is, of which the newest few are wanted. So it is asked
//! piece by piece, newest first (see `spans.rs`).

use clipkeep_core::{generation::Clip, id::ClipKey, search::Words, time::Timestamp};
use deadpool_postgres::GenericClient;
use tokio_postgres::types::ToSql;

use super::{
    super::{
        ClipFilter, ClipPage, Cursor, Result,
        page::{self, Statement},
        row::{self, select_clips},
        search::{FilteredScan, Found, SCAN_LIMIT, index_terms, uses_scan},
    },
    PostgresCatalog,
    find::{self, all, first, sql_value},
    pool::on,
    time_buckets::{Course, OF_CLIP, Piece},
};

/// How many matches a span may hold, at least and for each that is missing.
const MAX_NAMED_ROWS: usize = 500;
const MAX_ROWS_PER_CLIP: usize = 4;

/// Whoever ends one of a generation's clips takes turns with who ends another,
/// so that two such clips do not each take the other for the last one.
pub(super) async fn take_turn(tx: &impl GenericClient, key: &ClipKey) -> Result<()> {
    const TURN: &str = "SELECT 1 FROM generations g JOIN clips c ON c.request_id = g.request_id \
        AND c.provider = g.provider WHERE c.key = $1 FOR NO KEY UPDATE OF g";
    first(tx, TURN, &[&key.as_str()], |_| Ok(())).await.map(drop)
}

/// These clips came to an end in vain: where one of their generation's clips is
/// deleted, and none is kept or may still come, the texts go with it.
pub(super) async fn forget_after(tx: &impl GenericClient, keys: &[&str]) -> Result<()> {
    const SQL: &str = "WITH forgotten AS (UPDATE generations g SET prompt = NULL, input = NULL \
        WHERE (g.request_id, g.provider) IN (SELECT request_id, provider FROM clips WHERE key = ANY($1::text[])) \
        AND EXISTS (SELECT 1 FROM clips c WHERE c.request_id = g.request_id AND c.provider = g.provider \
        AND c.state = 'deleted') \
        AND NOT EXISTS (SELECT 1 FROM clips c WHERE c.request_id = g.request_id AND c.provider = g.provider \
        AND c.state IN ('waiting', 'filling', 'stored')) RETURNING g.request_id, g.provider) \
        DELETE FROM clip_words w USING clips c, forgotten f \
        WHERE c.request_id = f.request_id AND c.provider = f.provider AND w.key = c.key";
    let statement = tx.prepare_cached(SQL).await?;
    tx.execute(&statement, &[&keys]).await?;
    Ok(())
}

/// Finds the last of the next so many clips.
pub const FLOOR: &str = "SELECT created_at, key FROM clip_words \
    WHERE created_at >= $1 AND (created_at, key) < ($2, $3) ORDER BY created_at DESC, key DESC OFFSET $4 LIMIT 1";

/// Finds the newest matches of a piece by looking at each of its clips: the
/// function is no operator that an index knows.
pub const WALK: &str = "SELECT created_at, key FROM clip_words WHERE ts_match_vq(words, $1::text::tsquery) \
    AND (created_at, key) >= ($2, $3) AND (created_at, key) < ($4, $5) \
    ORDER BY created_at DESC, key DESC LIMIT $6";

/// Finds matches by the index of words, in no order; in a span, if it has a
/// name. Each is a row to be read, so nothing is left out but by the index.
/// `MATERIALIZED` keeps it from hoping that the first rows of the table will do.
pub fn of_span(named: bool) -> String {
    let within = if named { format!(" AND {OF_CLIP} @> ARRAY[$3::bigint]") } else { String::new() };
    format!(
        "WITH found AS MATERIALIZED (SELECT created_at, key FROM clip_words WHERE words @@ $1::text::tsquery{within}) \
         SELECT created_at, key FROM found LIMIT $2"
    )
}

/// A search that has come so far.
struct Search<'a, C> {
    client: &'a C,
    index_terms: String,
    filter: &'a ClipFilter,
    /// Nothing older is wanted.
    since: i64,
    /// All newer ones were looked at.
    from: Found,
    wanted: usize,
    clips: Vec<Clip>,
}

fn found(row: &tokio_postgres::Row) -> Result<Found> {
    Ok(Found { created_at: row.try_get(0)?, key: row.try_get(1)? })
}

impl<'a, C: GenericClient> Search<'a, C> {
    fn new(client: &'a C, words: &Words, filter: &'a ClipFilter, after: Option<&Cursor>, wanted: usize) -> Self {
        let index_terms: Vec<String> = index_terms(words, filter).iter().map(|word| format!("'{word}'")).collect();
        let since = filter.created_after.map_or(i64::MIN, Timestamp::millis);
        let from = Found::start(filter, after);
        Self { client, index_terms: index_terms.join(" & "), filter, since, from, wanted, clips: Vec::new() }
    }

    fn missing(&self) -> usize {
        self.wanted.saturating_sub(self.clips.len())
    }

    /// The clip after so many others that are to be looked at.
    async fn ahead(&self, others: i64) -> Result<Option<Found>> {
        let params: [&(dyn ToSql + Sync); 4] = [&self.since, &self.from.created_at, &self.from.key, &others];
        first(self.client, FLOOR, &params, found).await
    }

    /// Goes to the next clip, over times of which there is none; answers whether
    /// there is one.
    async fn skip(&mut self) -> Result<bool> {
        let next = self.ahead(0).await?;
        if let Some(next) = &next {
            let above = Found { created_at: next.created_at.saturating_add(1), key: String::new() };
            self.from = above.min(self.from.clone());
        }
        Ok(next.is_some())
    }

    /// The newest matches among the next so many clips; and where they end, if
    /// there is more behind.
    async fn walk(&self, step: i64) -> Result<(Vec<Found>, Option<Found>)> {
        let floor = self.ahead(step - 1).await?;
        let (to, to_key) = floor.as_ref().map_or((self.since, ""), |floor| (floor.created_at, floor.key.as_str()));
        // Of tenant and model the words tell, of these the rows alone.
        let sifted = self.filter.state.is_some() || self.filter.seed.is_some() || self.filter.c2pa.is_some();
        let limit = if sifted { step } else { self.missing() as i64 };
        let Found { created_at, key } = &self.from;
        let params: [&(dyn ToSql + Sync); 6] = [&self.index_terms, &to, &to_key, created_at, key, &limit];
        let matches = all(self.client, WALK, &params, found).await?;
        let last = matches.last().filter(|_| matches.len() as i64 == limit).cloned();
        Ok((matches, last.or(floor)))
    }

    /// All that is to be looked at of a span's matches, newest first; nothing if
    /// the span holds too many.
    async fn of_span(&self, name: Option<i64>) -> Result<Option<Vec<Found>>> {
        let much = MAX_NAMED_ROWS.max(MAX_ROWS_PER_CLIP * self.missing());
        let limit = much as i64 + 1;
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&self.index_terms, &limit];
        params.extend(name.as_ref().map(|name| name as &(dyn ToSql + Sync)));
        let mut matches = all(self.client, &of_span(name.is_some()), &params, found).await?;
        let few = matches.len() <= much;
        matches.retain(|one| *one < self.from && one.created_at >= self.since);
        matches.sort_unstable_by(|a, b| b.cmp(a));
        Ok(few.then_some(matches))
    }

    /// Reads the clips of these matches, until there are enough that the filter
    /// lets pass.
    async fn read(&mut self, mut matches: &[Found]) -> Result<()> {
        let mut list = Statement { sql: select_clips!("WHERE ").to_owned(), values: Vec::new() };
        list.restrict(self.filter, '$');
        let place = list.values.len() + 1;
        list.sql.push_str(&format!("c.key = ANY(${place}::text[]) ORDER BY c.created_at DESC, c.key DESC"));
        let mut size = self.missing();
        while self.missing() > 0 && !matches.is_empty() {
            let (some, others) = matches.split_at(size.min(matches.len()));
            let keys: Vec<&str> = some.iter().map(|one| one.key.as_str()).collect();
            let mut params: Vec<&(dyn ToSql + Sync)> = list.values.iter().map(sql_value).collect();
            params.push(&keys);
            self.clips.extend(all(self.client, &list.sql, &params, row::clip).await?);
            (matches, size) = (others, size * 2);
        }
        Ok(())
    }

    /// Looks through one piece after the other until there are enough clips.
    async fn run(mut self) -> Result<Vec<Clip>> {
        let mut course = Course::new(self.since);
        let mut more = self.skip().await?;
        while more {
            let (matches, to) = match course.next(&self.from) {
                Piece::Walk(step) => self.walk(step).await?,
                Piece::Span { name, start } => {
                    let Some(matches) = self.of_span(name).await? else {
                        course.holds_too_much(start);
                        continue;
                    };
                    (matches, (start > self.since).then(|| Found { created_at: start, key: String::new() }))
                }
            };
            let before = self.clips.len();
            self.read(&matches).await?;
            let Some(to) = to.filter(|_| self.missing() > 0) else { break };
            let millis = self.from.created_at.saturating_sub(to.created_at);
            course.found(self.clips.len() - before, self.missing(), millis);
            self.from = to;
            more = !matches.is_empty() || self.skip().await?;
        }
        Ok(self.clips)
    }
}

async fn search(
    client: &impl GenericClient,
    words: &Words,
    filter: &ClipFilter,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<ClipPage> {
    if uses_scan(filter) || is_rare(client, filter).await? {
        let mut scan = FilteredScan::new(words, filter, after, limit);
        loop {
            let listed = find::clips(client, &scan.filter, scan.after.as_ref(), page::MAX_PAGE).await?;
            if let Some(page) = scan.take(listed) {
                return Ok(page);
            }
        }
    }
    let wanted = page::size(limit) as usize + 1;
    Ok(page::page(Search::new(client, words, filter, after, wanted).run().await?, limit))
}

/// Whether the rarest of what is asked for is rare.
async fn is_rare(client: &impl GenericClient, filter: &ClipFilter) -> Result<bool> {
    const STATE: &str = "SELECT count(*) FROM (SELECT 1 FROM clips WHERE state = $1 LIMIT $2) few";
    const SEED: &str = "SELECT count(*) FROM (SELECT 1 FROM clips WHERE seed = $1 LIMIT $2) few";
    const MARKED: &str = "SELECT count(*) FROM (SELECT 1 FROM clips WHERE c2pa = TRUE LIMIT $1) few";
    let mut rare = false;
    if filter.c2pa == Some(true) {
        let count = first(client, MARKED, &[&SCAN_LIMIT], |row| Ok(row.try_get::<_, i64>(0)?)).await?;
        rare |= count.is_some_and(|count| count < SCAN_LIMIT);
    }
    if let Some(state) = filter.state {
        let count = first(client, STATE, &[&state.as_str(), &SCAN_LIMIT], |row| Ok(row.try_get::<_, i64>(0)?)).await?;
        rare |= count.is_some_and(|count| count < SCAN_LIMIT);
    }
    if let Some(seed) = filter.seed {
        let count = first(client, SEED, &[&seed.columns().0, &SCAN_LIMIT], |row| Ok(row.try_get::<_, i64>(0)?)).await?;
        rare |= count.is_some_and(|count| count < SCAN_LIMIT);
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
