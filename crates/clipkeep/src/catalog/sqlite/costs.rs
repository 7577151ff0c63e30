//! What there is to pay for.

use async_trait::async_trait;
use clipkeep_core::{cost::calendar::Slice, time::Timestamp};
use rusqlite::{Connection, params_from_iter};

use super::{
    super::{
        Result, UsageFilter, UsageGroup,
        costs::{self, CostBook, GeneratedLine, Names, OPERATIONS, OperationsRow, StoredLine},
    },
    SqliteCatalog,
    find::{all, first},
};

#[async_trait]
impl CostBook for SqliteCatalog {
    async fn stored(
        &self,
        filter: &UsageFilter,
        group: UsageGroup,
        span: (Timestamp, Timestamp),
        names: Names<'_>,
    ) -> Result<Vec<StoredLine>> {
        let list = costs::stored(filter, group, span, names, '?');
        let look =
            move |db: &Connection| all(db, &list.sql, params_from_iter(&list.values), |row| costs::stored_line(row));
        self.readers.read("adding stored bytes up", look).await
    }

    async fn stored_since(&self, filter: &UsageFilter) -> Result<Option<Timestamp>> {
        let list = costs::since(filter, '?');
        let look =
            move |db: &Connection| first(db, &list.sql, params_from_iter(&list.values), |row| costs::since_row(row));
        Ok(self.readers.read("looking for the first stored bytes", look).await?.flatten())
    }

    async fn generated(
        &self,
        filter: &UsageFilter,
        group: UsageGroup,
        slices: &[Slice],
        names: Names<'_>,
    ) -> Result<Vec<GeneratedLine>> {
        if slices.is_empty() {
            return Ok(Vec::new());
        }
        let list = costs::generated(filter, group, slices, names, '?');
        let look =
            move |db: &Connection| all(db, &list.sql, params_from_iter(&list.values), |row| costs::generated_line(row));
        self.readers.read("counting generations", look).await
    }

    async fn operations(&self, from: Timestamp, to: Timestamp) -> Result<Vec<OperationsRow>> {
        let sql = format!("{OPERATIONS} WHERE hour >= ?1 AND hour < ?2 ORDER BY hour");
        let look = move |db: &Connection| all(db, &sql, (from.millis(), to.millis()), |row| costs::operations_row(row));
        self.readers.read("counting requests to the bucket", look).await
    }
}
