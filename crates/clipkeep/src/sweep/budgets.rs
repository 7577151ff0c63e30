//! Budgets: what this month costs so far, told of when it is too much.

use std::time::Duration;

use clipkeep_core::cost::calendar::month_of;
use serde::Serialize;
use tokio::time::Instant;

use super::Sweep;
use crate::costs::CostError;

/// For one moment that the look takes, so many pass until the next one: it
/// reads a whole month.
const PAUSE: u32 = 60;

/// For so long the month before is looked at, too.
const YOUNG: Duration = Duration::from_secs(24 * 3600);

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BudgetReport {
    /// Alarms that were raised now.
    pub told: u64,
    /// Budgets that are used up.
    pub exceeded: u64,
}

/// Tells of those that nobody was told of; answers how long to wait before the
/// next look.
pub(super) async fn run(sweep: &Sweep, report: &mut BudgetReport) -> Result<Duration, CostError> {
    let parts = &sweep.parts;
    if parts.budgets.is_empty() {
        return Ok(parts.settings.interval);
    }
    let (now, began) = (parts.clock.now(), Instant::now());
    // What a month cost after its last look is told of in the next one.
    let month = month_of(now).0;
    let is_young = now.since(month) < YOUNG;
    let before = month.minus(Duration::from_millis(1));
    let closed = if is_young { parts.budgets.used(&*parts.catalog, before).await? } else { Vec::new() };
    let used = parts.budgets.used(&*parts.catalog, now).await?;
    for one in closed.iter().chain(&used) {
        for alarm in one.alarms() {
            if parts.catalog.tell_budget(&alarm, now).await? {
                let whose = alarm.tenant.as_ref().map_or("all", |tenant| tenant.as_str());
                let (list, month, percent) = (&alarm.price_list, &alarm.month, alarm.percent);
                tracing::warn!(whose, list, month, percent, "a budget is used up, or nearly");
                report.told += 1;
            }
        }
    }
    report.exceeded = used.iter().filter(|one| one.percent >= 100).count() as u64;
    for (budget, one) in parts.budgets.readings(&used) {
        let currency = parts.budgets.currency(budget);
        parts.metrics.budget(budget, currency, one.map(|one| one.spent).unwrap_or_default());
    }
    Ok(parts.settings.interval.max(began.elapsed() * PAUSE))
}
