//! Budgets that a month used up: told of once.

use async_trait::async_trait;
use clipkeep_core::{
    cost::{BudgetFor, Money, THRESHOLDS},
    event::{Event, EventType},
    id::Tenant,
    time::Timestamp,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::Result;

/// A budget and how much of it is spent. Amounts are exact decimals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BudgetUse {
    /// Whose budget; null is for all together.
    #[schema(value_type = Option<String>)]
    pub tenant: Option<Tenant>,
    /// The calendar month (UTC), such as `2026-01`.
    pub month: String,
    /// On which price list.
    pub price_list: String,
    /// What the amounts are in.
    pub currency: String,
    /// How much the month may cost.
    #[schema(value_type = String)]
    pub budget: Money,
    /// How much it costs so far.
    #[schema(value_type = String)]
    pub spent: Money,
    /// How many hundredths of the budget that is, rounded down.
    pub percent: u64,
    /// As which the configuration names it.
    #[serde(skip)]
    pub of: BudgetFor,
}

impl BudgetUse {
    /// What is to be told of it: one alarm for each threshold that is reached.
    pub fn alarms(&self) -> impl Iterator<Item = BudgetAlarm> {
        let reached = THRESHOLDS.into_iter().filter(|threshold| self.percent >= *threshold);
        reached.map(|threshold| BudgetAlarm { used: self.clone(), threshold })
    }
}

/// So much of a budget is spent as somebody is to be told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BudgetAlarm {
    /// How much of which.
    #[serde(flatten)]
    pub used: BudgetUse,
    /// Of how many hundredths this tells.
    pub threshold: u64,
}

/// What is told of once: month, tenant, list, amount and threshold.
pub type BudgetToldOf = (String, Option<Tenant>, String, String, u64);

impl BudgetAlarm {
    /// What makes it another than those that were told of before.
    pub fn told_of(&self) -> BudgetToldOf {
        let BudgetUse { month, tenant, price_list, budget, .. } = &self.used;
        (month.clone(), tenant.clone(), price_list.clone(), budget.to_string(), self.threshold)
    }

    /// What the world is told.
    pub(super) fn event(&self, at: Timestamp) -> Event {
        let BudgetUse { tenant, spent, budget, currency, percent, month, .. } = &self.used;
        let whose = tenant.as_ref().map_or_else(|| "all together".to_owned(), |tenant| format!("tenant {tenant}"));
        let (spent, budget) = (spent.rounded(), budget.rounded());
        let reason = format!("{month}, {whose}: {spent} of {budget} {currency} are spent ({percent} %)");
        let mut told = serde_json::json!(self);
        told["reason"] = reason.into();
        let (tenant, detail) = (tenant.clone(), Some(told.to_string()));
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
