//! Word search in SQLite: an FTS5 table whose `rowid` grows with `created_at`,
//! so that the newest matches are the first ones of a walk backwards.

use clipkeep_core::{id::ClipKey, search::Words};
use ring::digest::{SHA256, digest};
use rusqlite::{Connection, params_from_iter};

use super::{
    super::{
        ClipFilter, ClipPage, Cursor, Result,
        page::{self, Statement, Value},
        row::{self, select_clips},
        search::{Entry, FilteredScan, Found, SCAN_LIMIT, index_terms, uses_scan},
    },
    SqliteCatalog,
    find::{self, first},
};

/// A second's clips share the upper bits of their `rowid`; the lower ones are
/// told by the key.
const KEY_BITS: u32 = 22;
/// How many places a key may take, from its own on, when others have it.
const PLACES: i64 = 64;

/// The first `rowid` of this second.
fn first_of(millis: i64) -> i64 {
    const FURTHEST: i64 = 1 << (62 - KEY_BITS);
    millis.div_euclid(1000).clamp(-FURTHEST, FURTHEST) << KEY_BITS
}

/// The last `rowid` of this second.
fn last_of(millis: i64) -> i64 {
    first_of(millis) | ((1 << KEY_BITS) - 1)
}

/// The places (`rowid`) that this clip may have, the first and the last. They
/// must never be reckoned otherwise: that is how it is found again.
pub fn places(created_at: i64, key: &str) -> (i64, i64) {
    let hash = digest(&SHA256, key.as_bytes());
    let bits = hash.as_ref().iter().take(4).fold(0_i64, |bits, byte| bits << 8 | i64::from(*byte));
    let first = first_of(created_at) + bits % ((1 << KEY_BITS) - PLACES);
    (first, first + PLACES - 1)
}

/// Its place, and a free one beside, if there is none.
fn place(tx: &Connection, created_at: i64, key: &str) -> Result<(Option<i64>, Option<i64>)> {
    const SQL: &str = "SELECT rowid, key FROM clip_words WHERE rowid BETWEEN ?1 AND ?2 ORDER BY rowid";
    let (from, to) = places(created_at, key);
    let mut statement = tx.prepare_cached(SQL)?;
    let mut rows = statement.query((from, to))?;
    let mut free = from;
    while let Some(row) = rows.next()? {
        let (rowid, other): (i64, String) = (row.get(0)?, row.get(1)?);
        if other == key {
            return Ok((Some(rowid), None));
        }
        if rowid == free {
            free += 1;
        }
    }
    Ok((None, (free <= to).then_some(free)))
}

/// Writes what the index must say.
pub(super) fn write(tx: &Connection, mut entries: Vec<Entry<'_>>) -> Result<()> {
    const NEW: &str = "INSERT INTO clip_words (rowid, key, created_at, words) VALUES (?1, ?2, ?3, ?4)";
    const CHANGED: &str = "UPDATE clip_words SET words = ?2 WHERE rowid = ?1";
    // In the order of their places: FTS5 gathers what comes in order.
    entries.sort_by_key(|entry| places(entry.clip.created_at.millis(), entry.clip.key.as_str()));
    for Entry { clip, words } in entries {
        let (created_at, key) = (clip.created_at.millis(), clip.key.as_str());
        let words = words.into_iter().collect::<Vec<_>>().join(" ");
        match place(tx, created_at, key)? {
            (Some(rowid), _) => tx.prepare_cached(CHANGED)?.execute((rowid, words))?,
            (None, Some(rowid)) => tx.prepare_cached(NEW)?.execute((rowid, key, created_at, words))?,
            // Sixty thousand a second would have to share one; it is known all
            // the same, only not found by its words.
            (None, None) => 0,
        };
    }
    Ok(())
}

/// The clip has another name, and by it another place. `to` is in its row already.
pub(super) fn rename(tx: &Connection, was: &str, to: &str) -> Result<()> {
    const CREATED: &str = "SELECT created_at FROM clips WHERE key = ?1";
    const OLD: &str = "SELECT words FROM clip_words WHERE rowid = ?1";
    const NEW: &str = "INSERT INTO clip_words (rowid, key, created_at, words) VALUES (?1, ?2, ?3, ?4)";
    let Some(created_at) = first(tx, CREATED, [to], |row| Ok(row.get::<_, i64>(0)?))? else { return Ok(()) };
    let (Some(rowid), _) = place(tx, created_at, was)? else { return Ok(()) };
    let words = first(tx, OLD, [rowid], |row| Ok(row.get::<_, String>(0)?))?;
    tx.prepare_cached("DELETE FROM clip_words WHERE rowid = ?1")?.execute([rowid])?;
    if let (_, Some(rowid)) = place(tx, created_at, to)? {
        tx.prepare_cached(NEW)?.execute((rowid, to, created_at, words))?;
    }
    Ok(())
}

/// Forgets the words of a deleted clip; and the texts of its generation, if none
/// of that one's clips is kept or may still come.
pub(super) fn forget(tx: &Connection, key: &ClipKey) -> Result<()> {
    const ONE: &str = "SELECT key, created_at FROM clips WHERE key = ?1";
    const ALL: &str = "SELECT key, created_at FROM clips \
        WHERE (request_id, provider) = (SELECT request_id, provider FROM clips WHERE key = ?1)";
    const TEXTS: &str = "UPDATE generations SET prompt = NULL, input = NULL \
        WHERE (request_id, provider) = (SELECT request_id, provider FROM clips WHERE key = ?1) \
        AND NOT EXISTS (SELECT 1 FROM clips c WHERE c.request_id = generations.request_id \
        AND c.provider = generations.provider AND c.state IN ('waiting', 'filling', 'stored'))";
    let forgotten = tx.prepare_cached(TEXTS)?.execute([key.as_str()])? > 0;
    if forgotten {
        const UNREAD: &str = "UPDATE unread SET payload = NULL \
            WHERE (request_id, provider) = (SELECT request_id, provider FROM clips WHERE key = ?1)";
        tx.prepare_cached(UNREAD)?.execute([key.as_str()])?;
    }
    let mut clips = tx.prepare_cached(if forgotten { ALL } else { ONE })?;
    let clips = clips.query_map([key.as_str()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    for (key, created_at) in clips.collect::<rusqlite::Result<Vec<_>>>()? {
        if let (Some(rowid), _) = place(tx, created_at, &key)? {
            tx.prepare_cached("DELETE FROM clip_words WHERE rowid = ?1")?.execute([rowid])?;
        }
    }
    Ok(())
}

/// The clip came to an end in vain: if one of its generation's clips is deleted,
/// and none is kept or may still come, their texts go with it.
pub(super) fn forget_after(tx: &Connection, key: &ClipKey) -> Result<()> {
    const DELETED: &str = "SELECT count(*) FILTER (WHERE state = 'deleted') > 0 \
        AND count(*) FILTER (WHERE state IN ('waiting', 'filling', 'stored')) = 0 FROM clips \
        WHERE (request_id, provider) = (SELECT request_id, provider FROM clips WHERE key = ?1)";
    match first(tx, DELETED, [key.as_str()], |row| Ok(row.get::<_, bool>(0)?))? {
        Some(true) => forget(tx, key),
        _ => Ok(()),
    }
}

/// Finds clips by the index, newest second first. Public so that the suite can
/// ask the database how it runs it.
pub fn statement(words: &Words, filter: &ClipFilter, after: Option<&Cursor>) -> Statement {
    let start = Found::start(filter, after);
    let index_terms: Vec<String> = index_terms(words, filter).iter().map(|word| format!("\"{word}\"")).collect();
    let since = filter.created_after.map_or(i64::MIN, |time| first_of(time.millis()));
    let values = vec![Value::Text(index_terms.join(" ")), Value::Int(since), Value::Int(last_of(start.created_at))];
    // The joined rows are looked at in the order of the index, never the other way round.
    let sql = "SELECT clip_words.key, clip_words.created_at FROM clip_words CROSS JOIN clips c ON c.key = clip_words.key \
        WHERE clip_words MATCH ?1 AND clip_words.rowid BETWEEN ?2 AND ?3 AND ";
    let mut statement = Statement { sql: sql.to_owned(), values };
    statement.restrict(filter, '?');
    statement.sql.push_str("TRUE ORDER BY clip_words.rowid DESC");
    statement
}

fn search(db: &Connection, words: &Words, filter: &ClipFilter, after: Option<&Cursor>, limit: u32) -> Result<ClipPage> {
    let (start, wanted) = (Found::start(filter, after), page::size(limit) as usize + 1);
    let list = statement(words, filter, after);
    let mut found: Vec<Found> = Vec::new();
    {
        let mut statement = db.prepare_cached(&list.sql)?;
        let mut rows = statement.query(params_from_iter(&list.values))?;
        while let Some(row) = rows.next()? {
            let one = Found { key: row.get(0)?, created_at: row.get(1)? };
            // Within a second the index has an order of its own: all of it is read.
            let over = found.last().is_some_and(|last| first_of(last.created_at) != first_of(one.created_at));
            if over && found.len() >= wanted {
                break;
            }
            if one < start {
                found.push(one);
            }
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    found.truncate(wanted);
    const SQL: &str = select_clips!("WHERE c.key = ?1");
    let clips = found.iter().map(|one| first(db, SQL, [&one.key], |row| row::clip(row)));
    let clips = clips.filter_map(Result::transpose).collect::<Result<_>>()?;
    Ok(page::page(clips, limit))
}

/// Whether the rarest of what is asked for is rare.
fn is_rare(db: &Connection, filter: &ClipFilter) -> Result<bool> {
    const STATE: &str = "SELECT count(*) FROM (SELECT 1 FROM clips WHERE state = ?1 LIMIT ?2)";
    const SEED: &str = "SELECT count(*) FROM (SELECT 1 FROM clips WHERE seed = ?1 LIMIT ?2)";
    let count = |sql, value: Option<Value>| match value {
        Some(value) => Ok(Some(db.prepare_cached(sql)?.query_row((value, SCAN_LIMIT), |row| row.get::<_, i64>(0))?)),
        None => Ok::<_, rusqlite::Error>(None),
    };
    let of_state = count(STATE, filter.state.map(|state| Value::Text(state.as_str().to_owned())))?;
    let of_seed = count(SEED, filter.seed.map(|seed| Value::Int(seed.columns().0)))?;
    const MARKED: &str = "SELECT count(*) FROM (SELECT 1 FROM clips WHERE c2pa = TRUE LIMIT ?1)";
    let marked = filter.c2pa == Some(true);
    let of_mark = marked.then(|| db.prepare_cached(MARKED)?.query_row([SCAN_LIMIT], |row| row.get(0))).transpose()?;
    Ok([of_state, of_seed, of_mark].into_iter().flatten().any(|count| count < SCAN_LIMIT))
}

impl SqliteCatalog {
    /// A page of clips whose prompts hold these words.
    pub(super) async fn search(
        &self,
        words: &Words,
        filter: &ClipFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<ClipPage> {
        const DOING: &str = "searching clips by words";
        let looked_at = filter.clone();
        if uses_scan(filter) || self.readers.read(DOING, move |db| is_rare(db, &looked_at)).await? {
            let mut scan = FilteredScan::new(words, filter, after, limit);
            loop {
                let (filter, after) = (scan.filter.clone(), scan.after.clone());
                let list = move |db: &Connection| find::clips(db, &filter, after.as_ref(), page::MAX_PAGE);
                if let Some(page) = scan.take(self.readers.read(DOING, list).await?) {
                    return Ok(page);
                }
            }
        }
        let (words, filter, after) = (words.clone(), filter.clone(), after.cloned());
        self.readers.read(DOING, move |db| search(db, &words, &filter, after.as_ref(), limit)).await
    }
}
