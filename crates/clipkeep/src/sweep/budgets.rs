//! Budgets: what this month costs so far, told of when it is too much.

use std::{collections::HashSet, time::Duration};

use clipkeep_core::{cost::calendar::month_of, time::Timestamp};
use serde::Serialize;

use super::Sweep;
use crate::{catalog::budgets::BudgetToldOf, costs::CostError};

/// When in a month what was delivered in the one before is in the books.
const SETTLED: Duration = Duration::from_secs(300);
/// Until when in a month it is told of.
const YOUNG: Duration = Duration::from_secs(24 * 3600);

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BudgetReport {
    /// Alarms that were raised now.
    pub told: u64,
    /// Budgets that are used up.
    pub exceeded: u64,
}

/// What this process did already, to be spared doing again.
#[derive(Debug, Default)]
pub(super) struct Memory {
    month: Option<Timestamp>,
    /// What was told of, by whomever.
    told: HashSet<BudgetToldOf>,
    /// The month before was looked at when it was over.
    is_closed: bool,
}

impl Memory {
    /// The moments up to which the books are to be read: now, and once in a young
    /// month the last one of the month before, whose last hours were still to come
    /// when that was looked at.
    fn moments(&mut self, now: Timestamp) -> (Option<Timestamp>, Timestamp) {
        let month = month_of(now).0;
        if self.month.replace(month) != Some(month) {
            *self = Self { month: Some(month), ..Self::default() };
        }
        let is_due = !self.is_closed && (SETTLED..YOUNG).contains(&now.since(month));
        (is_due.then(|| month.minus(Duration::from_millis(1))), now)
    }
}

/// Tells of those that nobody was told of.
pub(super) async fn run(sweep: &Sweep, report: &mut BudgetReport) -> Result<(), CostError> {
    let parts = &sweep.parts;
    if parts.budgets.is_empty() {
        return Ok(());
    }
    let mut memory = sweep.weighed.lock().await;
    let (closed, now) = memory.moments(parts.clock.now());
    let before = match closed {
        Some(end) => parts.budgets.used(&*parts.catalog, end).await?,
        None => Vec::new(),
    };
    let used = parts.budgets.used(&*parts.catalog, now).await?;
    for alarm in before.iter().chain(&used).flat_map(|one| one.alarms()) {
        if memory.told.contains(&alarm.told_of()) {
            continue;
        }
        if parts.catalog.tell_budget(&alarm, now).await? {
            let whose = alarm.used.tenant.as_ref().map_or("all", |tenant| tenant.as_str());
            let (list, month, percent) = (&alarm.used.price_list, &alarm.used.month, alarm.used.percent);
            tracing::warn!(whose, list, month, percent, "a budget is used up, or nearly");
            report.told += 1;
        }
        memory.told.insert(alarm.told_of());
    }
    memory.is_closed |= closed.is_some();
    report.exceeded = used.iter().filter(|one| one.percent >= 100).count() as u64;
    for (budget, spent) in parts.budgets.readings(&used) {
        parts.metrics.budget(budget, parts.budgets.currency(budget), spent);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_looked_at_once_more_when_it_is_over() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut memory = Memory::default();
        let mut closed = |now: &str| {
            let closed = memory.moments(at(now)).0;
            memory.is_closed |= closed.is_some();
            closed
        };
        assert_eq!(closed("2027-01-31T23:59:59Z"), None);
        assert_eq!(closed("2027-02-01T00:01:00Z"), None, "the last counts may be on their way");
        assert_eq!(closed("2027-02-01T00:06:00Z"), Some(at("2027-01-31T23:59:59.999Z")));
        assert_eq!(closed("2027-02-01T00:07:00Z"), None, "once");
        assert_eq!(closed("2027-03-02T00:07:00Z"), None, "that is long ago");
        assert_eq!(closed("2027-04-01T12:00:00Z"), Some(at("2027-03-31T23:59:59.999Z")));
    }
}
