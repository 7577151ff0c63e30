//! Budgets: how much of them is used up, and what was told of it.

use async_trait::async_trait;
use clipkeep_core::{cost::BudgetFor, id::Tenant, time::Timestamp};
use rusqlite::{Connection, Row};

use super::{
    super::{
        Result,
        budgets::{self, BudgetAlarm, BudgetCheck, BudgetSpent, BudgetUse, Budgets, Round, TENANTS_PER_TURN, Turn},
    },
    SqliteCatalog,
    find::{all, first},
    record::emit,
};

fn raise(tx: &Connection, alarm: &BudgetAlarm, at: Timestamp) -> Result<bool> {
    const SQL: &str = "INSERT INTO budget_alarms (month, tenant, price_list, budget, threshold, raised_at) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
    let (month, tenant, list, budget, threshold) = alarm.id();
    let tenant = tenant.as_ref().map_or("", Tenant::as_str);
    let row = (month, tenant, list, budget, threshold.cast_signed(), at.millis());
    if tx.prepare_cached(SQL)?.execute(row)? == 0 {
        return Ok(false);
    }
    emit(tx, &alarm.event(at))?;
    Ok(true)
}

fn round(row: &Row<'_>) -> Result<Round> {
    Ok(Round {
        month: row.get("month")?,
        plan: row.get("plan")?,
        after: row.get("after")?,
        closing: row.get("closing")?,
        held_until: Timestamp::from_millis(row.get("held_until")?),
    })
}

fn claim_budget_check(tx: &Connection, check: &BudgetCheck) -> Result<Option<Turn>> {
    const FOUND: &str = "SELECT month, plan, after, closing, held_until FROM budget_round WHERE id = 1";
    const HOLD: &str = "INSERT INTO budget_round (id, month, plan, after, closing, held_until) \
        VALUES (1, ?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE SET month = excluded.month, plan = excluded.plan, \
        after = excluded.after, closing = excluded.closing, held_until = excluded.held_until";
    let found = first(tx, FOUND, [], round)?;
    let Some((held, moment)) = Round::take(found, check) else { return Ok(None) };
    let name = |row: &Row<'_>| Ok(row.get::<_, String>("tenant")?);
    let names = all(tx, &budgets::tenants_after('?'), (&held.after, TENANTS_PER_TURN), name)?;
    let row = (&held.month, &held.plan, &held.after, held.closing, held.held_until.millis());
    tx.prepare_cached(HOLD)?.execute(row)?;
    Ok(Some(Turn::new(held, moment, names)))
}

fn finish_budget_check(tx: &Connection, turn: &Turn, found: &[BudgetUse], check: &BudgetCheck) -> Result<()> {
    const NEXT: &str = "UPDATE budget_round SET month = ?1, after = ?2, closing = ?3, held_until = ?4 \
        WHERE id = 1 AND held_until = ?5 AND after = ?6";
    const KEEP: &str = "INSERT INTO budgets_used (tenant, price_list, budget, month, spent, percent) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (tenant, price_list) DO UPDATE SET budget = excluded.budget, \
        month = excluded.month, spent = excluded.spent, percent = excluded.percent";
    const FORGET: &str = "DELETE FROM budgets_used WHERE month <> ?1";
    let (next, held) = (Round::after(turn, check), &turn.held);
    let (free, held_until) = (next.held_until.millis(), held.held_until.millis());
    let row = (&next.month, &next.after, next.closing, free, held_until, &held.after);
    if tx.prepare_cached(NEXT)?.execute(row)? == 0 {
        return Ok(());
    }
    if next.month != held.month {
        tx.prepare_cached(FORGET)?.execute([&next.month])?;
        return Ok(());
    }
    let mut keep = tx.prepare_cached(KEEP)?;
    for one in found {
        let tenant = one.tenant.as_ref().map_or("", Tenant::as_str);
        let (of, spent) = (one.of.to_string(), one.spent.to_string());
        keep.execute((tenant, &one.price_list, of, &one.month, spent, one.percent_kept()))?;
    }
    Ok(())
}

fn kept(row: &Row<'_>) -> Result<BudgetSpent> {
    let (tenant, spent): (String, String) = (row.get("tenant")?, row.get("spent")?);
    budgets::kept(&tenant, &spent)
}

#[async_trait]
impl Budgets for SqliteCatalog {
    async fn claim_budget_check(&self, check: &BudgetCheck) -> Result<Option<Turn>> {
        let check = check.clone();
        self.writer.write("looking whose budgets are next", move |tx| claim_budget_check(tx, &check)).await
    }

    async fn finish_budget_check(&self, turn: &Turn, found: &[BudgetUse], check: &BudgetCheck) -> Result<()> {
        let (turn, found, check) = (turn.clone(), found.to_vec(), check.clone());
        self.writer
            .write("keeping what budgets came to", move |tx| finish_budget_check(tx, &turn, &found, &check))
            .await
    }

    async fn most_used(&self, month: &str, of: &BudgetFor, price_list: &str, most: u32) -> Result<Vec<BudgetSpent>> {
        const SQL: &str = "SELECT tenant, spent FROM budgets_used WHERE month = ?1 AND budget = ?2 AND price_list = ?3 \
            ORDER BY percent DESC LIMIT ?4";
        let (month, of, list) = (month.to_owned(), of.to_string(), price_list.to_owned());
        let look = move |db: &Connection| all(db, SQL, (month, of, list, most), kept);
        self.readers.read("looking how much of a budget is used", look).await
    }

    async fn count_used_up(&self, month: &str) -> Result<u64> {
        const SQL: &str = "SELECT count(*) FROM budgets_used WHERE month = ?1 AND percent >= 100";
        let month = month.to_owned();
        let count = move |db: &Connection| first(db, SQL, [month], |row| Ok(row.get::<_, i64>(0)?));
        let counted = self.readers.read("counting budgets that are used up", count).await?;
        Ok(counted.unwrap_or_default().cast_unsigned())
    }

    async fn emit_budget_alarm(&self, alarm: &BudgetAlarm, at: Timestamp) -> Result<bool> {
        let alarm = alarm.clone();
        self.writer.write("raising a budget's alarm", move |tx| raise(tx, &alarm, at)).await
    }
}
