//! What there is to pay for.

use async_trait::async_trait;
use clipkeep_core::{cost::calendar::Slice, time::Timestamp};
use tokio_postgres::types::ToSql;

use super::{
    super::{
        Result, UsageFilter, UsageGroup,
        costs::{self, CostBook, GeneratedLine, Names, OPERATIONS, OperationsRow, StoredLine},
    },
    PostgresCatalog,
    find::{all, first, sql_value},
    pool::on,
};

#[async_trait]
impl CostBook for PostgresCatalog {
    async fn stored(
        &self,
        filter: &UsageFilter,
        group: UsageGroup,
        span: (Timestamp, Timestamp),
        names: Names<'_>,
    ) -> Result<Vec<StoredLine>> {
        let list = costs::stored(filter, group, span, names, '$');
        let values: Vec<&(dyn ToSql + Sync)> = list.values.iter().map(sql_value).collect();
        on(&self.pool, "adding stored bytes up", async |client| {
            all(&client, &list.sql, &values, costs::stored_line).await
        })
        .await
    }

    async fn stored_since(&self, filter: &UsageFilter) -> Result<Option<Timestamp>> {
        let list = costs::since(filter, '$');
        let values: Vec<&(dyn ToSql + Sync)> = list.values.iter().map(sql_value).collect();
        let since = on(&self.pool, "looking for the first stored bytes", async |client| {
            first(&client, &list.sql, &values, costs::since_row).await
        });
        Ok(since.await?.flatten())
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
        let list = costs::generated(filter, group, slices, names, '$');
        let values: Vec<&(dyn ToSql + Sync)> = list.values.iter().map(sql_value).collect();
        on(&self.pool, "counting generations", async |client| {
            all(&client, &list.sql, &values, costs::generated_line).await
        })
        .await
    }

    async fn operations(&self, from: Timestamp, to: Timestamp) -> Result<Vec<OperationsRow>> {
        let sql = format!("{OPERATIONS} WHERE hour >= $1 AND hour < $2 ORDER BY hour");
        let look = async |client| all(&client, &sql, &[&from.millis(), &to.millis()], costs::operations_row).await;
        on(&self.pool, "counting requests to the bucket", look).await
    }
}
