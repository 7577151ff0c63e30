//! Budgets: how much of them is used up, and what was told of it.

use async_trait::async_trait;
use clipkeep_core::{cost::BudgetFor, id::Tenant, time::Timestamp};
use deadpool_postgres::{GenericClient, Object};
use tokio_postgres::{Row, types::ToSql};

use super::{
    super::{
        CatalogError, Result,
        budgets::{self, BudgetAlarm, BudgetCheck, BudgetSpent, BudgetUse, Budgets, Round, TENANTS_PER_TURN, Turn},
    },
    PostgresCatalog,
    find::{all, first},
    pool::on,
};

async fn raise(client: &impl GenericClient, alarm: &BudgetAlarm, at: Timestamp) -> Result<bool> {
    const SQL: &str = "WITH raised AS (INSERT INTO budget_alarms (month, tenant, price_list, budget, threshold, raised_at) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING 1) \
        INSERT INTO events (at, type, tenant, detail) SELECT $6, $7, $8, $9 FROM raised";
    let event = alarm.event(at);
    let owner = event.tenant.as_ref().map(Tenant::as_str);
    let (kind, at) = (event.kind.as_str(), at.millis());
    let (month, tenant, list, budget, threshold) = alarm.id();
    let (tenant, threshold) = (tenant.as_ref().map_or("", Tenant::as_str), threshold.cast_signed());
    let params: &[&(dyn ToSql + Sync)] =
        &[&month, &tenant, &list, &budget, &threshold, &at, &kind, &owner, &event.detail];
    let statement = client.prepare_cached(SQL).await?;
    Ok(client.execute(&statement, params).await? > 0)
}

fn round(row: &Row) -> Result<Round> {
    Ok(Round {
        month: row.try_get("month")?,
        plan: row.try_get("plan")?,
        after: row.try_get("after")?,
        closing: row.try_get("closing")?,
        held_until: Timestamp::from_millis(row.try_get("held_until")?),
    })
}

async fn claim_budget_check(mut client: Object, check: &BudgetCheck) -> Result<Option<Turn>> {
    const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('budget_round'))";
    const FOUND: &str = "SELECT month, plan, after, closing, held_until FROM budget_round WHERE id = 1";
    const HOLD: &str = "INSERT INTO budget_round (id, month, plan, after, closing, held_until) \
        VALUES (1, $1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET month = excluded.month, plan = excluded.plan, \
        after = excluded.after, closing = excluded.closing, held_until = excluded.held_until";
    let tx = client.transaction().await?;
    tx.execute(LOCK, &[]).await?;
    let found = first(&tx, FOUND, &[], round).await?;
    let Some((held, moment)) = Round::take(found, check) else { return Ok(None) };
    let name = |row: &Row| Ok(row.try_get::<_, String>("tenant")?);
    let names = all(&tx, &budgets::tenants_after('$'), &[&held.after, &i64::from(TENANTS_PER_TURN)], name).await?;
    let held_until = held.held_until.millis();
    tx.execute(HOLD, &[&held.month, &held.plan, &held.after, &held.closing, &held_until]).await?;
    tx.commit().await?;
    Ok(Some(Turn::new(held, moment, names)))
}

async fn finish_budget_check(mut client: Object, turn: &Turn, found: &[BudgetUse], check: &BudgetCheck) -> Result<()> {
    const NEXT: &str = "UPDATE budget_round SET month = $1, after = $2, closing = $3, held_until = $4 \
        WHERE id = 1 AND held_until = $5 AND after = $6";
    const KEEP: &str = "INSERT INTO budgets_used (tenant, price_list, budget, month, spent, percent) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, price_list) DO UPDATE SET budget = excluded.budget, \
        month = excluded.month, spent = excluded.spent, percent = excluded.percent";
    const FORGET: &str = "DELETE FROM budgets_used WHERE month <> $1";
    let next = Round::after(turn, check);
    let tx = client.transaction().await?;
    let (free, held_until) = (next.held_until.millis(), turn.held.held_until.millis());
    let taken: &[&(dyn ToSql + Sync)] =
        &[&next.month, &next.after, &next.closing, &free, &held_until, &turn.held.after];
    if tx.execute(NEXT, taken).await? == 0 {
        return Ok(());
    }
    if next.month != turn.held.month {
        tx.execute(FORGET, &[&next.month]).await?;
    } else {
        let keep = tx.prepare_cached(KEEP).await?;
        for one in found {
            let tenant = one.tenant.as_ref().map_or("", Tenant::as_str);
            let (of, spent, percent) = (one.of.to_string(), one.spent.to_string(), one.percent_kept());
            tx.execute(&keep, &[&tenant, &one.price_list, &of, &one.month, &spent, &percent]).await?;
        }
    }
    Ok(tx.commit().await?)
}

fn kept(row: &Row) -> Result<BudgetSpent> {
    let (tenant, spent): (String, String) = (row.try_get("tenant")?, row.try_get("spent")?);
    budgets::kept(&tenant, &spent)
}

#[async_trait]
impl Budgets for PostgresCatalog {
    async fn claim_budget_check(&self, check: &BudgetCheck) -> Result<Option<Turn>> {
        on(&self.pool, "looking whose budgets are next", async |client| claim_budget_check(client, check).await).await
    }

    async fn finish_budget_check(&self, turn: &Turn, found: &[BudgetUse], check: &BudgetCheck) -> Result<()> {
        let keep = async |client| finish_budget_check(client, turn, found, check).await;
        on(&self.pool, "keeping what budgets came to", keep).await
    }

    async fn most_used(&self, month: &str, of: &BudgetFor, price_list: &str, most: u32) -> Result<Vec<BudgetSpent>> {
        const SQL: &str = "SELECT tenant, spent FROM budgets_used WHERE month = $1 AND budget = $2 AND price_list = $3 \
            ORDER BY percent DESC LIMIT $4";
        let (of, most) = (of.to_string(), i64::from(most));
        let look = async |client| all(&client, SQL, &[&month, &of, &price_list, &most], kept).await;
        on(&self.pool, "looking how much of a budget is used", look).await
    }

    async fn count_used_up(&self, month: &str) -> Result<u64> {
        const SQL: &str = "SELECT count(*) AS count FROM budgets_used WHERE month = $1 AND percent >= 100";
        let count = |row: &Row| Ok::<_, CatalogError>(row.try_get::<_, i64>("count")?);
        let look = async |client| first(&client, SQL, &[&month], count).await;
        let counted = on(&self.pool, "counting budgets that are used up", look).await?;
        Ok(counted.unwrap_or_default().cast_unsigned())
    }

    async fn emit_budget_alarm(&self, alarm: &BudgetAlarm, at: Timestamp) -> Result<bool> {
        on(&self.pool, "raising a budget's alarm", async |client| raise(&client, alarm, at).await).await
    }
}
