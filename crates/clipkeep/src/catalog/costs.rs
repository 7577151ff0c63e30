//! What there is to pay for: bytes over time, generations, and requests to the
//! bucket.

use async_trait::async_trait;
use clipkeep_core::{
    cost::{
        calendar::Slice,
        storage::{BEFORE, Change},
    },
    time::Timestamp,
};

use super::{
    Result, UsageFilter, UsageGroup,
    page::{Statement, Value},
    row::{Columns, Unreadable},
};

/// Requests to the bucket in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationsRow {
    pub hour: Timestamp,
    /// Those that write or list.
    pub writes: u64,
    pub reads: u64,
}

/// Bytes that came, less those that went, on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLine {
    /// Of which clip, tenant, model or prompt; empty where time tells.
    pub name: String,
    pub change: Change,
}

/// Generations of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedLine {
    /// Of which clip, tenant, model or prompt; empty where time tells.
    pub name: String,
    /// When the slice of time begins.
    pub slice: Timestamp,
    pub model: String,
    pub generations: u64,
    /// How long their clips are, in milliseconds.
    pub millis: u64,
}

/// Which names are asked for: those after `after`, in order, so many at most. All
/// lines of a name are told, or none.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The last one that is not asked for.
    pub after: Option<&'a str>,
    pub most: u32,
}

/// What there is to pay for. `filter.from` and `filter.to` are of no meaning:
/// the other arguments say which time is meant.
#[async_trait]
pub trait CostBook {
    /// The bytes that came and went in this time, by name and day.
    async fn stored(
        &self,
        filter: &UsageFilter,
        group: UsageGroup,
        span: (Timestamp, Timestamp),
        names: Names<'_>,
    ) -> Result<Vec<StoredLine>>;

    /// When the first bytes were stored.
    async fn stored_since(&self, filter: &UsageFilter) -> Result<Option<Timestamp>>;

    /// Generations of clips whose model became known then, and how long those clips
    /// are of which that became known then, by name, slice and model.
    async fn generated(
        &self,
        filter: &UsageFilter,
        group: UsageGroup,
        slices: &[Slice],
        names: Names<'_>,
    ) -> Result<Vec<GeneratedLine>>;

    /// Requests to the bucket, by hour.
    async fn operations(&self, from: Timestamp, to: Timestamp) -> Result<Vec<OperationsRow>>;
}

/// What stands for a name; a clip `c` has it, or a storage period `s`, whose tenant is the
/// one that the clip had then.
fn name(group: UsageGroup, of: &str, mark: char) -> &'static str {
    match (group, mark) {
        (UsageGroup::All | UsageGroup::Hour | UsageGroup::Day | UsageGroup::Month, _) => "''",
        (UsageGroup::Clip, _) if of == "s" => "s.key",
        (UsageGroup::Tenant, _) if of == "s" => "s.tenant",
        (UsageGroup::Clip, _) => "c.key",
        (UsageGroup::Tenant, '$') => "coalesce(c.tenant, '') COLLATE \"C\"",
        (UsageGroup::Tenant, _) => "coalesce(c.tenant, '')",
        (UsageGroup::Model, '$') => "coalesce(c.model, '') COLLATE \"C\"",
        (UsageGroup::Prompt, '$') => "coalesce(c.prompt_hash, '') COLLATE \"C\"",
        (UsageGroup::Model, _) => "coalesce(c.model, '')",
        (UsageGroup::Prompt, _) => "coalesce(c.prompt_hash, '')",
    }
}

fn restrict(list: &mut Statement, filter: &UsageFilter, of: &str, mark: char) {
    let text = |text: &str| Value::Text(text.to_owned());
    list.compare(&format!("{of}.tenant"), "=", filter.tenant.as_ref().map(|tenant| text(tenant.as_str())), mark);
    list.compare("c.model", "=", filter.model.as_deref().map(text), mark);
    list.compare(&format!("{of}.key"), "=", filter.key.as_ref().map(|key| text(key.as_str())), mark);
}

/// Stays, with their clips where these are asked about.
fn storage_periods_from(filter: &UsageFilter, group: UsageGroup) -> &'static str {
    let asks_clips = filter.model.is_some() || matches!(group, UsageGroup::Model | UsageGroup::Prompt);
    if asks_clips {
        "FROM storage_periods s JOIN clips c ON c.key = s.key WHERE "
    } else {
        "FROM storage_periods s WHERE "
    }
}

/// Begins a statement of whose lines only those of the first names are told:
/// `{columns} FROM (… ` follows.
fn first_names(list: &mut Statement, columns: &str, names: Names<'_>, mark: char) -> String {
    list.sql.push_str(&format!(
        "SELECT name, {columns} FROM (SELECT {columns}, name, dense_rank() OVER (ORDER BY name) AS place FROM ("
    ));
    let most = list.bind(Value::Int(names.most.into()), mark);
    format!(") grouped) placed WHERE place <= {most} ORDER BY name")
}

/// The statement for [`CostBook::stored`]: each period is looked at twice, when it
/// came and when it went, whatever the number of days. A clip's bytes are in two
/// parts, so that no sum passes 63 bits.
pub(super) fn stored(
    filter: &UsageFilter,
    group: UsageGroup,
    (from, to): (Timestamp, Timestamp),
    names: Names<'_>,
    mark: char,
) -> Statement {
    let name = name(group, "s", mark);
    let mut list = Statement { sql: String::new(), values: Vec::new() };
    let rest = first_names(&mut list, "day, high, low, high_moment, low_moment", names, mark);
    list.sql.push_str(
        "SELECT name, day, CAST(sum(size / 10000) AS BIGINT) AS high, CAST(sum(size % 10000) AS BIGINT) AS low, \
         CAST(sum(size / 10000 * sec) AS BIGINT) AS high_moment, \
         CAST(sum(size % 10000 * sec) AS BIGINT) AS low_moment FROM (",
    );
    // Whole seconds; both ends drop the same part of one.
    let (a, b) = (from.secs().saturating_mul(1000), to.secs().saturating_mul(1000));
    let after = names.after.map(|after| list.bind(Value::Text(after.to_owned()), mark));
    let after = after.map_or(String::new(), |after| format!("{name} > {after} AND "));
    let source = storage_periods_from(filter, group);
    list.sql.push_str(&format!(
        "SELECT {name} AS name, s.size AS size, CASE WHEN s.from_at < {a} + 1000 THEN {BEFORE} ELSE s.from_at / 86400000 \
         END AS day, CASE WHEN s.from_at < {a} + 1000 THEN 0 ELSE s.from_at / 1000 % 86400 END AS sec {source}{after}"
    ));
    restrict(&mut list, filter, "s", mark);
    list.sql.push_str(&format!(
        "s.from_at < {b} AND (s.to_at IS NULL OR s.to_at >= {a}) UNION ALL SELECT {name}, -s.size, s.to_at / 86400000, \
         s.to_at / 1000 % 86400 {source}{after}"
    ));
    restrict(&mut list, filter, "s", mark);
    list.sql.push_str(&format!("s.to_at >= {a} AND s.to_at < {b}) changes GROUP BY name, day{rest}, day"));
    list
}

/// The statement for [`CostBook::stored_since`].
pub(super) fn since(filter: &UsageFilter, mark: char) -> Statement {
    let source = storage_periods_from(filter, UsageGroup::All);
    let mut list = Statement { sql: format!("SELECT min(s.from_at) AS since {source}"), values: Vec::new() };
    restrict(&mut list, filter, "s", mark);
    list.sql.push_str("TRUE");
    list
}

/// The statement for [`CostBook::generated`].
pub(super) fn generated(
    filter: &UsageFilter,
    group: UsageGroup,
    slices: &[Slice],
    names: Names<'_>,
    mark: char,
) -> Statement {
    let name = name(group, "c", mark);
    let mut list = Statement { sql: String::new(), values: Vec::new() };
    let rest = first_names(&mut list, "slice, model, generations, millis", names, mark);
    // Numbers of our own making.
    let pair = |slice: &Slice| format!("({}, {})", slice.from.millis(), slice.to.millis());
    let slices = slices.iter().map(pair).collect::<Vec<_>>().join(", ");
    list.sql.insert_str(0, &format!("WITH slices (a, b) AS (VALUES {slices}) "));
    list.sql.push_str(
        "SELECT name, slice, model, CAST(sum(generations) AS BIGINT) AS generations, CAST(sum(millis) AS BIGINT) AS millis \
         FROM (",
    );
    // A generation counts when its model is known, its seconds when they are, too.
    let once = "CASE c.idx WHEN 0 THEN 1 ELSE 0 END AS generations, 0 AS millis";
    let seconds = "0, CAST(round(coalesce(c.was_duration, c.duration, 0) * 1000) AS BIGINT)";
    for (counts, at, next) in [(once, "c.model_at", "UNION ALL "), (seconds, "c.duration_at", "")] {
        list.sql.push_str(&format!(
            "SELECT {name} AS name, t.a AS slice, c.model AS model, {counts} \
             FROM slices t JOIN clips c ON {at} >= t.a AND {at} < t.b WHERE "
        ));
        list.compare(name, ">", names.after.map(|after| Value::Text(after.to_owned())), mark);
        restrict(&mut list, filter, "c", mark);
        list.sql.push_str(&format!("TRUE {next}"));
    }
    list.sql.push_str(&format!(") counted GROUP BY 1, 2, 3{rest}, slice, model"));
    list
}

pub(super) const OPERATIONS: &str = "SELECT hour, writes, reads FROM operations";

fn signed(row: &impl Columns, column: &'static str) -> Result<i128> {
    let read = || row.int(column)?.map(i128::from).ok_or(Unreadable);
    read().map_err(|_| unreadable(column))
}

fn number(row: &impl Columns, column: &'static str) -> Result<u64> {
    u64::try_from(signed(row, column)?).map_err(|_| unreadable(column))
}

fn unreadable(column: &'static str) -> super::CatalogError {
    super::CatalogError::BadRow { table: "clips", key: "a sum".to_owned(), column }
}

fn text(row: &impl Columns, column: &'static str) -> String {
    row.text(column).ok().flatten().unwrap_or_default()
}

fn slice(row: &impl Columns, column: &'static str) -> Result<Timestamp> {
    Ok(Timestamp::from_millis(number(row, column)?.cast_signed()))
}

pub(super) fn stored_line(row: &impl Columns) -> Result<StoredLine> {
    let sum = |high, low| Ok::<_, super::CatalogError>(signed(row, high)? * 10_000 + signed(row, low)?);
    let day = i64::try_from(signed(row, "day")?).unwrap_or_default();
    let change = Change { day, bytes: sum("high", "low")?, moment: sum("high_moment", "low_moment")? };
    Ok(StoredLine { name: text(row, "name"), change })
}

/// Reads `since`, which is null where nothing was stored.
pub(super) fn since_row(row: &impl Columns) -> Result<Option<Timestamp>> {
    Ok(row.int("since").ok().flatten().map(Timestamp::from_millis))
}

pub(super) fn generated_line(row: &impl Columns) -> Result<GeneratedLine> {
    Ok(GeneratedLine {
        name: text(row, "name"),
        slice: slice(row, "slice")?,
        model: text(row, "model"),
        generations: number(row, "generations")?,
        millis: number(row, "millis")?,
    })
}

pub(super) fn operations_row(row: &impl Columns) -> Result<OperationsRow> {
    Ok(OperationsRow { hour: slice(row, "hour")?, writes: number(row, "writes")?, reads: number(row, "reads")? })
}
