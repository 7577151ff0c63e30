//! Budgets that a month used up.

use async_trait::async_trait;
use clipkeep_core::{id::Tenant, time::Timestamp};
use deadpool_postgres::GenericClient;
use tokio_postgres::types::ToSql;

use super::{
    super::{
        Result,
        budgets::{BudgetAlarm, Budgets},
    },
    PostgresCatalog,
    pool::on,
};

async fn tell(client: &impl GenericClient, alarm: &BudgetAlarm, at: Timestamp) -> Result<bool> {
    const SQL: &str = "WITH told AS (INSERT INTO budgets_told (month, tenant, price_list, budget, threshold, told_at) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING 1) \
        INSERT INTO events (at, type, tenant, detail) SELECT $6, $7, $8, $9 FROM told";
    let event = alarm.event(at);
    let owner = event.tenant.as_ref().map(Tenant::as_str);
    let (kind, at) = (event.kind.as_str(), at.millis());
    let (month, tenant, list, budget, threshold) = alarm.told_of();
    let (tenant, threshold) = (tenant.as_ref().map_or("", Tenant::as_str), threshold.cast_signed());
    let params: &[&(dyn ToSql + Sync)] =
        &[&month, &tenant, &list, &budget, &threshold, &at, &kind, &owner, &event.detail];
    let statement = client.prepare_cached(SQL).await?;
    Ok(client.execute(&statement, params).await? > 0)
}

#[async_trait]
impl Budgets for PostgresCatalog {
    async fn tell_budget(&self, alarm: &BudgetAlarm, at: Timestamp) -> Result<bool> {
        on(&self.pool, "telling of a budget", async |client| tell(&client, alarm, at).await).await
    }
}
