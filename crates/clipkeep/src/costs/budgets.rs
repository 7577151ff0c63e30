//! Budgets: what a calendar month may cost, and how much of it is spent.

use std::cmp::Reverse;

use clipkeep_core::{
    config::Config,
    cost::{
        Budget, BudgetFor, GenerationPrices, Money, PriceList, THRESHOLDS, budgets_of,
        calendar::{Cut, month_of, name_of},
    },
    id::Tenant,
    time::Timestamp,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{CostError, CostQuery, CostRow, report};
use crate::catalog::{Catalog, UsageFilter, UsageGroup, budgets::BudgetAlarm};

/// How many tenants are asked for at once.
const PAGE: u32 = 1000;
/// How many budgets are shown.
const SHOWN: usize = 100;

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
}

impl BudgetUse {
    /// What is to be told of it: one alarm for each threshold that is reached.
    pub fn alarms(&self) -> impl Iterator<Item = BudgetAlarm> {
        let alarm = |threshold| BudgetAlarm {
            tenant: self.tenant.clone(),
            month: self.month.clone(),
            price_list: self.price_list.clone(),
            currency: self.currency.clone(),
            budget: self.budget,
            spent: self.spent,
            percent: self.percent,
            threshold,
        };
        THRESHOLDS.into_iter().filter(|threshold| self.percent >= *threshold).map(alarm)
    }
}

/// The budgets of the configuration, and what they are reckoned with.
#[derive(Clone, Debug)]
pub struct BudgetWatch {
    budgets: Vec<Budget>,
    lists: Vec<PriceList>,
    generations: GenerationPrices,
}

impl BudgetWatch {
    /// The budgets that `config` names, on these lists.
    ///
    /// # Errors
    /// If a budget names no list that is known.
    pub fn new(config: &Config, lists: &[PriceList]) -> Result<Self, CostError> {
        let unknown = |budget: &&Budget| lists.iter().all(|list| list.name != budget.list);
        if let Some(budget) = config.budgets.iter().find(unknown) {
            let known = lists.iter().map(|list| list.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(CostError::Budget { list: budget.list.clone(), known });
        }
        let (budgets, generations) = (config.budgets.clone(), config.generation_prices.clone());
        Ok(Self { budgets, lists: lists.to_vec(), generations })
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.budgets.is_empty()
    }

    /// What this month costs so far, of all budgets: that for all together
    /// first, then what is used up most.
    ///
    /// # Errors
    /// If the catalogue does not answer.
    pub async fn used(&self, catalog: &dyn Catalog, now: Timestamp) -> Result<Vec<BudgetUse>, CostError> {
        let mut used = Vec::new();
        if !budgets_of(&self.budgets, None).is_empty() {
            let month = self.month(catalog, now, None).await?;
            used.extend(self.uses(now, None, Some(&month)));
        }
        if self.budgets.iter().any(|budget| budget.of != BudgetFor::All) {
            self.tenants(catalog, now, &mut used).await?;
        }
        used.sort_by_key(|one| (one.tenant.is_some(), Reverse(one.percent)));
        Ok(used)
    }

    /// The same of one tenant's budgets alone.
    ///
    /// # Errors
    /// If the catalogue does not answer.
    pub async fn used_by(
        &self,
        catalog: &dyn Catalog,
        now: Timestamp,
        tenant: &Tenant,
    ) -> Result<Vec<BudgetUse>, CostError> {
        if budgets_of(&self.budgets, Some(tenant)).is_empty() {
            return Ok(Vec::new());
        }
        let month = self.month(catalog, now, Some(tenant)).await?;
        Ok(self.uses(now, Some(tenant), Some(&month)))
    }

    /// What is shown beside costs: of `tenant` alone, if there is one, and on
    /// `list` alone; at most a hundred.
    ///
    /// # Errors
    /// If the catalogue does not answer.
    pub async fn shown(
        &self,
        catalog: &dyn Catalog,
        now: Timestamp,
        tenant: Option<&Tenant>,
        list: Option<&str>,
    ) -> Result<Vec<BudgetUse>, CostError> {
        let mut used = match tenant {
            Some(tenant) => self.used_by(catalog, now, tenant).await?,
            None => self.used(catalog, now).await?,
        };
        used.retain(|one| list.is_none_or(|list| one.price_list == list));
        used.truncate(SHOWN);
        Ok(used)
    }

    /// For each budget as it is configured, how much it is and how much is
    /// spent; of each tenant's apart by whoever used up most.
    pub fn readings<'a>(&'a self, used: &'a [BudgetUse]) -> impl Iterator<Item = (&'a Budget, Option<&'a BudgetUse>)> {
        let of = move |budget: &'a Budget| {
            let is_it = move |one: &&BudgetUse| {
                let holds = budgets_of(&self.budgets, one.tenant.as_ref()).into_iter().any(|own| own == budget);
                holds && one.price_list == budget.list
            };
            (budget, used.iter().filter(is_it).max_by_key(|one| one.spent))
        };
        // Of two for the same on one list the first holds.
        let counts = |(at, one): &(usize, &Budget)| {
            !self.budgets[..*at].iter().any(|other| other.of == one.of && other.list == one.list)
        };
        self.budgets.iter().enumerate().filter(counts).map(move |(_, budget)| of(budget))
    }

    /// What a budget is in.
    pub fn currency(&self, budget: &Budget) -> &str {
        self.lists.iter().find(|list| list.name == budget.list).map_or("", |list| &list.currency)
    }

    /// Of each tenant that has a budget or cost anything.
    async fn tenants(&self, catalog: &dyn Catalog, now: Timestamp, used: &mut Vec<BudgetUse>) -> Result<(), CostError> {
        let mut named: Vec<&Tenant> = self.budgets.iter().filter_map(named).collect();
        let mut after: Option<String> = None;
        loop {
            let query = self.query(now, None, UsageGroup::Tenant, after.as_deref());
            let page = report(catalog, now, &query).await?;
            for row in &page.costs {
                // What has no tenant has an empty name.
                let Ok(tenant) = row.name.parse::<Tenant>() else { continue };
                named.retain(|other| **other != tenant);
                used.extend(self.uses(now, Some(&tenant), Some(row)));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        named.sort_unstable();
        named.dedup();
        used.extend(named.into_iter().flat_map(|tenant| self.uses(now, Some(tenant), None)));
        Ok(())
    }

    async fn month(
        &self,
        catalog: &dyn Catalog,
        now: Timestamp,
        tenant: Option<&Tenant>,
    ) -> Result<CostRow, CostError> {
        let query = self.query(now, tenant, UsageGroup::Month, None);
        Ok(report(catalog, now, &query).await?.total)
    }

    fn query<'a>(
        &'a self,
        now: Timestamp,
        tenant: Option<&Tenant>,
        group: UsageGroup,
        after: Option<&'a str>,
    ) -> CostQuery<'a> {
        let (from, to) = month_of(now);
        let filter = UsageFilter { from: Some(from), to: Some(to), tenant: tenant.cloned(), ..UsageFilter::default() };
        CostQuery { filter, group, lists: &self.lists, generations: &self.generations, after, limit: PAGE }
    }

    /// The budgets of a tenant, or of all together, beside what `row` says.
    fn uses(&self, now: Timestamp, tenant: Option<&Tenant>, row: Option<&CostRow>) -> Vec<BudgetUse> {
        let one = |budget: &Budget| {
            let list = self.lists.iter().find(|list| list.name == budget.list)?;
            let on = row.and_then(|row| row.costs.iter().find(|on| on.list == budget.list));
            let spent = on.map_or(Money::ZERO, |on| on.cost.total());
            let percent = u64::try_from(spent.percent_of(budget.amount).unwrap_or_default()).unwrap_or_default();
            Some(BudgetUse {
                tenant: tenant.cloned(),
                month: name_of(now, Cut::Months),
                price_list: budget.list.clone(),
                currency: list.currency.clone(),
                budget: budget.amount,
                spent,
                percent,
            })
        };
        budgets_of(&self.budgets, tenant).into_iter().filter_map(one).collect()
    }
}

fn named(budget: &Budget) -> Option<&Tenant> {
    match &budget.of {
        BudgetFor::Tenant(tenant) => Some(tenant),
        BudgetFor::All | BudgetFor::EachTenant => None,
    }
}
