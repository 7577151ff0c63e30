//! Budgets that a month used up: told of once.

use async_trait::async_trait;
use clipkeep_core::{
    cost::Money,
    event::{Event, EventType},
    id::Tenant,
    time::Timestamp,
};
use serde::Serialize;

use super::Result;

/// So much of a budget is spent as somebody is to be told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BudgetAlarm {
    /// Whose budget; none is for all together.
    pub tenant: Option<Tenant>,
    /// The calendar month (UTC), such as `2026-01`.
    pub month: String,
    /// On which price list.
    pub price_list: String,
    /// What the amounts are in.
    pub currency: String,
    /// How much the month may cost.
    pub budget: Money,
    /// How much it costs so far.
    pub spent: Money,
    /// How many hundredths of the budget that is, rounded down.
    pub percent: u64,
    /// Of how many hundredths this tells.
    pub threshold: u64,
}

impl BudgetAlarm {
    /// What the world is told.
    pub(super) fn event(&self, at: Timestamp) -> Event {
        let Self { spent, budget, currency, percent, month, .. } = self;
        let whose = self.tenant.as_ref().map_or_else(|| "all together".to_owned(), |tenant| format!("tenant {tenant}"));
        let (spent, budget) = (spent.rounded(), budget.rounded());
        let reason = format!("{month}, {whose}: {spent} of {budget} {currency} are spent ({percent} %)");
        let mut told = serde_json::json!(self);
        told["reason"] = reason.into();
        let (tenant, detail) = (self.tenant.clone(), Some(told.to_string()));
        Event { kind: EventType::BudgetExceeded, at, generation: None, key: None, detail, tenant }
    }
}

/// The part of the catalogue that remembers which alarms were raised.
#[async_trait]
pub trait Budgets {
    /// Tells of a budget, unless that was done for this amount, month and
    /// threshold, by whatever node; answers whether it is told now.
    async fn tell_budget(&self, alarm: &BudgetAlarm, at: Timestamp) -> Result<bool>;
}
