//! Budgets: what this month costs so far, told of when it is too much.

use std::{
    collections::HashSet,
    error::Error,
    time::{Duration, Instant},
};

use clipkeep_core::cost::calendar::{Cut, name_of};
use serde::Serialize;

use super::{Sweep, SweepParts};
use crate::{
    catalog::budgets::{BudgetAlarmId, BudgetCheck, BudgetUse, Turn},
    costs::CostError,
};

/// How long one look weighs tenants; the next look goes on.
const LOOK: Duration = Duration::from_secs(2);

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BudgetReport {
    /// Alarms that were raised now.
    pub alarms: u64,
    /// Budgets that are used up.
    pub exceeded: u64,
}

/// What was told of, by whomever: this process is spared doing that again.
#[derive(Debug, Default)]
pub(super) struct Memory {
    month: String,
    raised: HashSet<BudgetAlarmId>,
}

/// Weighs whose turn it is, and tells of what nobody was told of.
pub(super) async fn run(sweep: &Sweep, report: &mut BudgetReport) -> Result<(), CostError> {
    let parts = &sweep.parts;
    if parts.budgets.is_empty() {
        return Ok(());
    }
    let mut memory = sweep.weighed.lock().await;
    let began = Instant::now();
    while began.elapsed() < LOOK {
        let rest = parts.settings.interval / 2;
        let check = BudgetCheck { now: parts.clock.now(), plan: parts.budgets.plan(), rest };
        let Some(turn) = parts.catalog.claim_budget_check(&check).await? else { break };
        let used = weigh(parts, &turn).await;
        tell(parts, &mut memory, &used, report).await?;
        parts.catalog.finish_budget_check(&turn, &used, &BudgetCheck { now: parts.clock.now(), ..check }).await?;
        if turn.is_last {
            break;
        }
    }
    let now = parts.clock.now();
    report.exceeded = parts.catalog.count_used_up(&name_of(now, Cut::Months)).await?;
    for (budget, spent) in parts.budgets.readings(&*parts.catalog, now).await? {
        parts.metrics.budget(budget, parts.budgets.currency(budget), spent);
    }
    Ok(())
}

/// What a turn's budgets came to. Who cannot be weighed holds nobody else up.
async fn weigh(parts: &SweepParts, turn: &Turn) -> Vec<BudgetUse> {
    let watch = parts.budgets.of_plan(&turn.plan);
    let mut used = Vec::new();
    let all = turn.is_first.then_some(None);
    for whose in all.into_iter().chain(turn.tenants.iter().map(Some)) {
        let weighed = match whose {
            Some(tenant) => watch.used_by(&*parts.catalog, turn.moment, tenant).await,
            None => watch.used_by_all(&*parts.catalog, turn.moment).await,
        };
        match weighed {
            Ok(weighed) => used.extend(weighed),
            Err(error) => {
                let whose = whose.map_or("all", |tenant| tenant.as_str());
                tracing::warn!(whose, error = &error as &dyn Error, "what a month costs so far could not be added up");
            }
        }
    }
    used
}

async fn tell(
    parts: &SweepParts,
    memory: &mut Memory,
    used: &[BudgetUse],
    report: &mut BudgetReport,
) -> Result<(), CostError> {
    let now = parts.clock.now();
    let month = name_of(now, Cut::Months);
    if memory.month != month {
        *memory = Memory { month, raised: HashSet::new() };
    }
    for alarm in used.iter().flat_map(BudgetUse::alarms) {
        if memory.raised.contains(&alarm.id()) {
            continue;
        }
        if parts.catalog.emit_budget_alarm(&alarm, now).await? {
            let whose = alarm.used.tenant.as_ref().map_or("all", |tenant| tenant.as_str());
            let (list, month, percent) = (&alarm.used.price_list, &alarm.used.month, alarm.used.percent);
            tracing::warn!(whose, list, month, percent, "a budget is used up, or nearly");
            report.alarms += 1;
        }
        memory.raised.insert(alarm.id());
    }
    Ok(())
}
