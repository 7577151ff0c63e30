//! Usage: what nodes counted, added up, and asked for by clip, tenant, model or
//! time.

use std::time::Duration;

use async_trait::async_trait;
use clipkeep_core::{
    id::{ClipKey, Tenant},
    time::Timestamp,
    usage::{Counts, UsageRow},
};

use super::{
    Catalog, OperationsRow, Result,
    lookup::current_key,
    page::{Statement, Value, size},
    row::{Columns, Unreadable},
};

/// How long a process's last batch is remembered.
pub(super) const BATCH_ID_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a process counted since its last batch.
#[derive(Clone, Debug)]
pub struct UsageBatch {
    /// The process: no other one has this name, ever.
    pub node: String,
    /// Its batches, numbered from 1.
    pub seq: i64,
    pub at: Timestamp,
    pub rows: Vec<UsageRow>,
    /// Requests to the bucket.
    pub operations: Vec<OperationsRow>,
}

/// What usage is added up by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageGroup {
    /// All of it is one.
    All,
    Clip,
    /// By tenant.
    Tenant,
    Model,
    /// By prompt, as its hash.
    Prompt,
    Hour,
    #[default]
    Day,
    Month,
}

/// No such group.
#[derive(Debug, thiserror::Error)]
#[error("usage is added up by clip, tenant, model, prompt, hour, day or month")]
pub struct UnknownGroup;

impl std::str::FromStr for UsageGroup {
    type Err = UnknownGroup;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = [Self::Clip, Self::Tenant, Self::Model, Self::Prompt, Self::Hour, Self::Day, Self::Month];
        known.into_iter().find(|group| group.as_str() == text).ok_or(UnknownGroup)
    }
}

impl UsageGroup {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Clip => "clip",
            Self::Tenant => "tenant",
            Self::Model => "model",
            Self::Prompt => "prompt",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    fn expression(self, mark: char) -> &'static str {
        match (self, mark) {
            (Self::All, _) => "''",
            (Self::Clip, _) => "u.key",
            (Self::Tenant, _) => "u.tenant",
            (Self::Model, '$') => "coalesce(c.model, '') COLLATE \"C\"",
            (Self::Model, _) => "coalesce(c.model, '')",
            (Self::Prompt, '$') => "coalesce(c.prompt_hash, '') COLLATE \"C\"",
            (Self::Prompt, _) => "coalesce(c.prompt_hash, '')",
            (Self::Hour, '$') => {
                "to_char(to_timestamp(u.hour / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:00:00\"Z\"') COLLATE \"C\""
            }
            (Self::Day, '$') => "to_char(to_timestamp(u.hour / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD') COLLATE \"C\"",
            (Self::Month, '$') => "to_char(to_timestamp(u.hour / 1000) AT TIME ZONE 'UTC', 'YYYY-MM') COLLATE \"C\"",
            (Self::Hour, _) => "strftime('%Y-%m-%dT%H:00:00Z', u.hour / 1000, 'unixepoch')",
            (Self::Day, _) => "strftime('%Y-%m-%d', u.hour / 1000, 'unixepoch')",
            (Self::Month, _) => "strftime('%Y-%m', u.hour / 1000, 'unixepoch')",
        }
    }
}

/// Which usage is meant. All that are set must hold.
#[derive(Clone, Debug, Default)]
pub struct UsageFilter {
    /// Of hours that begin at or after.
    pub from: Option<Timestamp>,
    /// Of hours that begin before.
    pub to: Option<Timestamp>,
    /// Of this tenant.
    pub tenant: Option<Tenant>,
    pub model: Option<String>,
    pub key: Option<ClipKey>,
}

impl UsageFilter {
    /// The same, of the clip by the name that it has now.
    pub async fn by_names(mut self, catalog: &dyn Catalog) -> Result<Self> {
        if let Some(key) = &mut self.key {
            *key = current_key(catalog, key).await?;
        }
        Ok(self)
    }
}

/// What one clip, tenant, model, hour, day or month comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageLine {
    /// Which one; empty where there is none.
    pub name: String,
    pub counts: Counts,
}

impl UsageLine {
    /// What it is where nothing was counted.
    pub fn nothing() -> Self {
        Self { name: String::new(), counts: Counts::default() }
    }
}

/// A page of lines, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsagePage {
    pub lines: Vec<UsageLine>,
    /// The name after which the next page starts, if there is one.
    pub next: Option<String>,
}

/// Usage, written and asked for.
#[async_trait]
pub trait UsageBook {
    /// Adds a batch; one that was added before changes nothing. A process adds
    /// its batches one after another.
    async fn add_usage(&self, batch: &UsageBatch) -> Result<()>;

    /// A page of usage, added up by `group`, sorted by name, after `after`.
    async fn usage(
        &self,
        filter: &UsageFilter,
        group: UsageGroup,
        after: Option<&str>,
        limit: u32,
    ) -> Result<UsagePage>;
}

const SUMS: &str = "CAST(sum(u.plays) AS BIGINT) AS plays, CAST(sum(u.viewer_bytes) AS BIGINT) AS viewer_bytes, \
    CAST(sum(u.hits) AS BIGINT) AS hits, CAST(sum(u.cold_fetches) AS BIGINT) AS cold_fetches, \
    CAST(sum(u.source_bytes) AS BIGINT) AS source_bytes, CAST(sum(u.aborted_plays) AS BIGINT) AS aborted_plays, \
    CAST(sum(u.first_byte_micros) AS BIGINT) AS first_byte_micros, \
    CAST(sum(u.first_bytes) AS BIGINT) AS first_bytes FROM usage u ";

/// The statement for a page, one line more than `limit`.
pub(super) fn list(filter: &UsageFilter, group: UsageGroup, after: Option<&str>, limit: u32, mark: char) -> Statement {
    let name = group.expression(mark);
    let mut list = Statement { sql: format!("SELECT {name} AS name, {SUMS}"), values: Vec::new() };
    if matches!(group, UsageGroup::Model | UsageGroup::Prompt) || filter.model.is_some() {
        list.sql.push_str("LEFT JOIN clips c ON c.key = u.key ");
    }
    list.sql.push_str("WHERE ");
    let text = |text: &str| Value::Text(text.to_owned());
    list.compare("u.hour", ">=", filter.from.map(|at| Value::Int(at.millis())), mark);
    list.compare("u.hour", "<", filter.to.map(|at| Value::Int(at.millis())), mark);
    list.compare("u.tenant", "=", filter.tenant.as_ref().map(|tenant| text(tenant.as_str())), mark);
    list.compare("c.model", "=", filter.model.as_deref().map(text), mark);
    list.compare("u.key", "=", filter.key.as_ref().map(|key| text(key.as_str())), mark);
    list.compare(name, ">", after.map(text), mark);
    list.sql.push_str("TRUE GROUP BY 1 ORDER BY 1 LIMIT ");
    let limit = list.bind(Value::Int(i64::from(size(limit)) + 1), mark);
    list.sql.push_str(&limit);
    list
}

pub(super) fn page(mut lines: Vec<UsageLine>, limit: u32) -> UsagePage {
    let wanted = size(limit) as usize;
    let more = lines.len() > wanted;
    lines.truncate(wanted);
    let next = lines.last().filter(|_| more).map(|last| last.name.clone());
    UsagePage { lines, next }
}

pub(super) fn line(row: &impl Columns) -> Result<UsageLine> {
    let name = row.text("name").ok().flatten().unwrap_or_default();
    let number = |column: &'static str| match row.int(column) {
        Ok(Some(number)) => u64::try_from(number).map_err(|_| Unreadable),
        _ => Err(Unreadable),
    };
    let bad = |column| {
        let key = name.clone();
        move |_| super::CatalogError::BadRow { table: "usage", key, column }
    };
    let number = |column: &'static str| number(column).map_err(bad(column));
    let counts = Counts {
        plays: number("plays")?,
        viewer_bytes: number("viewer_bytes")?,
        hits: number("hits")?,
        cold_fetches: number("cold_fetches")?,
        source_bytes: number("source_bytes")?,
        aborted_plays: number("aborted_plays")?,
        first_byte_micros: number("first_byte_micros")?,
        first_bytes: number("first_bytes")?,
    };
    Ok(UsageLine { name, counts })
}
