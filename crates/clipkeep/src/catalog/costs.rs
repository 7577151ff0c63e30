//! What there is to pay for: bytes over time, generations, and requests to the
//! bucket.

use async_trait::async_trait;
use clipkeep_core::{cost::calendar::Slice, time::Timestamp};

use super::{
    Result, UsageFilter, UsageGroup,
    page::{Statement, Value},
    row::{Columns, Unreadable},
};

/// Requests to the bucket in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationsRow {
    /// When the hour began.
    pub hour: Timestamp,
    /// Those that write or list.
    pub writes: u64,
    /// Those that read.
    pub reads: u64,
}

/// Bytes that were kept for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLine {
    /// Of which clip, tenant, model or prompt; empty where time tells.
    pub name: String,
    /// When the slice of time begins.
    pub slice: Timestamp,
    /// Bytes times seconds.
    pub byte_secs: u128,
}

/// Generations of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedLine {
    /// Of which clip, tenant, model or prompt; empty where time tells.
    pub name: String,
    /// When the slice of time begins.
    pub slice: Timestamp,
    /// The model.
    pub model: String,
    /// How many there were.
    pub generations: u64,
    /// How long their clips are, in milliseconds.
    pub millis: u64,
}

/// Which names are asked for: those after `after`, in order, and at least
/// `names` of them, if there are so many.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The last one that is not asked for.
    pub after: Option<&'a str>,
    /// How many.
    pub most: u32,
}

/// What there is to pay for. `filter.from` and `filter.to` are of no meaning:
/// the slices say which time is meant.
#[async_trait]
pub trait CostBook {
    /// Bytes over time, by name and slice.
    async fn stored(
        &self,
        filter: &UsageFilter,
        group: UsageGroup,
        slices: &[Slice],
        names: Names<'_>,
    ) -> Result<Vec<StoredLine>>;

    /// Generations of clips that were first heard of then, by name, slice and
    /// model.
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

/// How many models one name has at most, on average, before names are left out.
const MODELS: u32 = 8;

fn name(group: UsageGroup, mark: char) -> &'static str {
    match (group, mark) {
        (UsageGroup::All | UsageGroup::Hour | UsageGroup::Day | UsageGroup::Month, _) => "''",
        (UsageGroup::Clip, _) => "c.key",
        (UsageGroup::Tenant, '$') => "coalesce(c.tenant, '') COLLATE \"C\"",
        (UsageGroup::Model, '$') => "coalesce(c.model, '') COLLATE \"C\"",
        (UsageGroup::Prompt, '$') => "coalesce(c.prompt_hash, '') COLLATE \"C\"",
        (UsageGroup::Tenant, _) => "coalesce(c.tenant, '')",
        (UsageGroup::Model, _) => "coalesce(c.model, '')",
        (UsageGroup::Prompt, _) => "coalesce(c.prompt_hash, '')",
    }
}

/// `WITH slices (a, b) AS (VALUES (1, 2), …)`: numbers of our own making.
fn with_slices(slices: &[Slice]) -> String {
    let pair = |slice: &Slice| format!("({}, {})", slice.from.millis(), slice.to.millis());
    format!("WITH slices (a, b) AS (VALUES {}) ", slices.iter().map(pair).collect::<Vec<_>>().join(", "))
}

fn narrow(list: &mut Statement, filter: &UsageFilter, name: &'static str, after: Option<&str>, mark: char) {
    let text = |text: &str| Value::Text(text.to_owned());
    list.compare("c.tenant", "=", filter.tenant.as_ref().map(|tenant| text(tenant.as_str())), mark);
    list.compare("c.model", "=", filter.model.as_deref().map(text), mark);
    list.compare("c.key", "=", filter.key.as_ref().map(|key| text(key.as_str())), mark);
    list.compare(name, ">", after.map(text), mark);
}

/// From when on a clip has its bytes for itself: bytes that clips share count
/// once, with the clip whose name they bear, and from its end on with the first
/// of the others. For ever is `s.b`, never was is 0.
const OWN_FROM: &str = "CASE WHEN c.object_key IS NULL THEN 0 ELSE (SELECT \
    CASE WHEN count(*) > count(f.deleted_at) THEN s.b ELSE coalesce(max(f.deleted_at), 0) END FROM clips f \
    WHERE f.key = c.object_key OR (f.object_key = c.object_key AND f.key < c.key)) END";

/// The statement for [`CostBook::stored`]. A clip's bytes are in two parts, so
/// that no sum passes 63 bits.
pub(super) fn stored(
    filter: &UsageFilter,
    group: UsageGroup,
    slices: &[Slice],
    names: Names<'_>,
    mark: char,
) -> Statement {
    let name = name(group, mark);
    let (least, greatest) = if mark == '$' { ("least", "greatest") } else { ("min", "max") };
    let span = format!(
        "({greatest}(0, {least}(coalesce(c.deleted_at, s.b), s.b) \
         - {greatest}(c.stored_at, s.a, {OWN_FROM})) / 1000)"
    );
    let mut list = Statement {
        sql: format!(
            "{}SELECT {name} AS name, s.a AS slice, CAST(sum((c.size / 10000) * {span}) AS BIGINT) AS high, \
             CAST(sum((c.size % 10000) * {span}) AS BIGINT) AS low FROM slices s JOIN clips c \
             ON c.stored_at < s.b AND (c.deleted_at IS NULL OR c.deleted_at > s.a) \
             WHERE c.size IS NOT NULL AND (c.deleted_at IS NULL OR c.deleted_at > c.stored_at) AND ",
            with_slices(slices)
        ),
        values: Vec::new(),
    };
    narrow(&mut list, filter, name, names.after, mark);
    let rows = i64::from(names.most) * i64::try_from(slices.len()).unwrap_or(1);
    let limit = list.bind(Value::Int(rows), mark);
    list.sql.push_str(&format!("TRUE GROUP BY 1, 2 ORDER BY 1, 2 LIMIT {limit}"));
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
    let name = name(group, mark);
    let mut list = Statement {
        sql: format!(
            "{}SELECT {name} AS name, s.a AS slice, c.model AS model, \
             CAST(sum(CASE c.idx WHEN 0 THEN 1 ELSE 0 END) AS BIGINT) AS generations, \
             CAST(sum(CAST(round(coalesce(c.duration, 0) * 1000) AS BIGINT)) AS BIGINT) AS millis \
             FROM slices s JOIN clips c ON c.created_at >= s.a AND c.created_at < s.b WHERE c.model IS NOT NULL AND ",
            with_slices(slices)
        ),
        values: Vec::new(),
    };
    narrow(&mut list, filter, name, names.after, mark);
    let rows = i64::from(names.most) * i64::try_from(slices.len()).unwrap_or(1) * i64::from(MODELS);
    let limit = list.bind(Value::Int(rows), mark);
    list.sql.push_str(&format!("TRUE GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT {limit}"));
    list
}

pub(super) const OPERATIONS: &str = "SELECT hour, writes, reads FROM operations";

fn number(row: &impl Columns, column: &'static str) -> Result<u64> {
    let read = || u64::try_from(row.int(column)?.ok_or(Unreadable)?).map_err(|_| Unreadable);
    read().map_err(|_| super::CatalogError::BadRow { table: "clips", key: "a sum".to_owned(), column })
}

fn text(row: &impl Columns, column: &'static str) -> String {
    row.text(column).ok().flatten().unwrap_or_default()
}

fn slice(row: &impl Columns, column: &'static str) -> Result<Timestamp> {
    Ok(Timestamp::from_millis(number(row, column)?.cast_signed()))
}

pub(super) fn stored_line(row: &impl Columns) -> Result<StoredLine> {
    let byte_secs = u128::from(number(row, "high")?) * 10_000 + u128::from(number(row, "low")?);
    Ok(StoredLine { name: text(row, "name"), slice: slice(row, "slice")?, byte_secs })
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
