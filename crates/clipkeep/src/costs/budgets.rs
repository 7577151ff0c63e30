//! Budgets: what a calendar month may cost, and how much of it is spent.

use std::{cmp::Reverse, collections::HashMap};

use clipkeep_core::{
    config::Config,
    cost::{
        Budget, BudgetFor, GenerationPrices, Money, PriceList, budgets_of,
        calendar::{Cut, month_of, name_of},
    },
    id::Tenant,
    time::Timestamp,
};

use super::{CostError, CostQuery, CostRow, lines};
use crate::catalog::{Catalog, UsageFilter, UsageGroup, budgets::BudgetUse};

/// How many tenants are asked for at once.
const PAGE: u32 = 1000;
/// How many budgets are shown.
const SHOWN: usize = 100;

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
            used.extend(self.uses(now, None, month.as_ref()));
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
        Ok(self.uses(now, Some(tenant), month.as_ref()))
    }

    /// What is shown beside costs that are narrowed like this: of a tenant alone,
    /// if one is asked for, and on `list` alone; at most a hundred. A clip and a
    /// model have no budget.
    ///
    /// # Errors
    /// If the catalogue does not answer.
    pub async fn shown(
        &self,
        catalog: &dyn Catalog,
        now: Timestamp,
        narrowed: &UsageFilter,
        list: Option<&str>,
    ) -> Result<Vec<BudgetUse>, CostError> {
        if narrowed.key.is_some() || narrowed.model.is_some() {
            return Ok(Vec::new());
        }
        let mut used = match &narrowed.tenant {
            Some(tenant) => self.used_by(catalog, now, tenant).await?,
            None => self.used(catalog, now).await?,
        };
        used.retain(|one| list.is_none_or(|list| one.price_list == list));
        used.truncate(SHOWN);
        Ok(used)
    }

    /// For each budget as it is configured, how much of it is spent; of each
    /// tenant's apart by whoever used up most.
    pub fn readings(&self, used: &[BudgetUse]) -> Vec<(&Budget, Money)> {
        let mut most: HashMap<(&BudgetFor, &str), Money> = HashMap::new();
        for one in used {
            let spent = most.entry((&one.of, &one.price_list)).or_insert(Money::ZERO);
            *spent = one.spent.max(*spent);
        }
        let spent = |budget: &Budget| most.get(&(&budget.of, budget.list.as_str())).copied().unwrap_or_default();
        self.budgets.iter().map(|budget| (budget, spent(budget))).collect()
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
            let (rows, next) = lines(catalog, now, &query).await?;
            for row in &rows {
                // What has no tenant has an empty name.
                let Ok(tenant) = row.name.parse::<Tenant>() else { continue };
                named.retain(|other| **other != tenant);
                used.extend(self.uses(now, Some(&tenant), Some(row)));
            }
            after = next;
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
    ) -> Result<Option<CostRow>, CostError> {
        let query = self.query(now, tenant, UsageGroup::All, None);
        Ok(lines(catalog, now, &query).await?.0.into_iter().next())
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
                of: budget.of.clone(),
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
