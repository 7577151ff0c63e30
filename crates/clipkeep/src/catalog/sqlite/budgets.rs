//! Budgets that a month used up.

use async_trait::async_trait;
use clipkeep_core::{id::Tenant, time::Timestamp};
use rusqlite::Connection;

use super::{
    super::{
        Result,
        budgets::{BudgetAlarm, Budgets},
    },
    SqliteCatalog,
    record::announce,
};

fn tell(tx: &Connection, alarm: &BudgetAlarm, at: Timestamp) -> Result<bool> {
    const SQL: &str = "INSERT INTO budgets_told (month, tenant, price_list, budget, threshold, told_at) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
    let (month, tenant, list, budget, threshold) = alarm.told_of();
    let tenant = tenant.as_ref().map_or("", Tenant::as_str);
    let row = (month, tenant, list, budget, threshold.cast_signed(), at.millis());
    if tx.prepare_cached(SQL)?.execute(row)? == 0 {
        return Ok(false);
    }
    announce(tx, &alarm.event(at))?;
    Ok(true)
}

#[async_trait]
impl Budgets for SqliteCatalog {
    async fn tell_budget(&self, alarm: &BudgetAlarm, at: Timestamp) -> Result<bool> {
        let alarm = alarm.clone();
        self.writer.write("telling of a budget", move |tx| tell(tx, &alarm, at)).await
    }
}
