//! Budgets: what a calendar month may cost, and how much of it is spent.

use std::cmp::Reverse;

use clipkeep_core::{
    config::{Config, Layers},
    cost::{
        Budget, BudgetFor, GenerationPrices, Money, PriceList, budgets_of,
        calendar::{Cut, month_of, name_of},
    },
    id::Tenant,
    time::Timestamp,
};

use super::{CostError, CostQuery, CostRow, lines};
use crate::catalog::{Catalog, UsageFilter, UsageGroup, budgets::BudgetUse};

/// How many budgets are shown.
const MAX_ROWS: u32 = 100;

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

    /// The budgets, as the configuration writes them.
    pub fn plan(&self) -> String {
        self.budgets.iter().map(Budget::to_string).collect::<Vec<_>>().join(", ")
    }

    /// The same watch on other budgets, such as those of a month that is over.
    #[must_use]
    pub fn of_plan(&self, plan: &str) -> Self {
        let config = Config::from_layers(Layers::new().with_flags([("budgets", plan.to_owned())]));
        let budgets = config.map(|config| config.budgets).unwrap_or_default();
        Self { budgets, ..self.clone() }
    }

    /// What this month costs so far, beside what all together may spend.
    ///
    /// # Errors
    /// If the catalogue does not answer.
    pub async fn used_by_all(&self, catalog: &dyn Catalog, now: Timestamp) -> Result<Vec<BudgetUse>, CostError> {
        self.reckon(catalog, now, None).await
    }

    /// The same of one tenant's budgets.
    ///
    /// # Errors
    /// If the catalogue does not answer.
    pub async fn used_by(
        &self,
        catalog: &dyn Catalog,
        now: Timestamp,
        tenant: &Tenant,
    ) -> Result<Vec<BudgetUse>, CostError> {
        self.reckon(catalog, now, Some(tenant)).await
    }

    async fn reckon(
        &self,
        catalog: &dyn Catalog,
        now: Timestamp,
        tenant: Option<&Tenant>,
    ) -> Result<Vec<BudgetUse>, CostError> {
        if budgets_of(&self.budgets, tenant).is_empty() {
            return Ok(Vec::new());
        }
        let query = self.query(now, tenant);
        let month = lines(catalog, now, &query).await?.0.into_iter().next();
        let spent = |list: &str| {
            let on = month.as_ref().and_then(|row: &CostRow| row.costs.iter().find(|on| on.list == list));
            on.map_or(Money::ZERO, |on| on.cost.total())
        };
        let budgets = budgets_of(&self.budgets, tenant);
        Ok(budgets.into_iter().filter_map(|budget| self.used(budget, now, tenant, spent(&budget.list))).collect())
    }

    /// What is shown beside costs that are narrowed like this: of a tenant alone,
    /// if one is asked for, and on `list` alone; at most a hundred, that for all
    /// together first, then what is used up most. Tenants among others are shown as
    /// they were last weighed. A clip and a model have no budget.
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
            None => {
                let mut used = self.used_by_all(catalog, now).await?;
                for budget in self.budgets.iter().filter(|budget| budget.of != BudgetFor::All) {
                    used.extend(self.kept(catalog, now, budget).await?);
                }
                used
            }
        };
        used.retain(|one| list.is_none_or(|list| one.price_list == list));
        used.sort_by_key(|one| (one.tenant.is_some(), Reverse(one.percent)));
        used.truncate(MAX_ROWS as usize);
        Ok(used)
    }

    /// What tenants had spent of a budget when they were last weighed.
    async fn kept(&self, catalog: &dyn Catalog, now: Timestamp, budget: &Budget) -> Result<Vec<BudgetUse>, CostError> {
        let month = name_of(now, Cut::Months);
        let kept = catalog.most_used(&month, &budget.of, &budget.list, MAX_ROWS).await?;
        // A budget that was changed since may not be whose it was.
        let holds = |tenant: &Tenant| budgets_of(&self.budgets, Some(tenant)).contains(&budget);
        let one = |tenant: &Tenant, spent| self.used(budget, now, Some(tenant), spent);
        let mut used: Vec<BudgetUse> = kept
            .iter()
            .filter_map(|kept| one(kept.tenant.as_ref().filter(|tenant| holds(tenant))?, kept.spent))
            .collect();
        if let BudgetFor::Tenant(tenant) = &budget.of
            && used.is_empty()
        {
            used.extend(one(tenant, Money::ZERO));
        }
        Ok(used)
    }

    /// For each budget as it is configured, how much of it was spent when that was
    /// last weighed; of each tenant's apart by whoever used up most.
    ///
    /// # Errors
    /// If the catalogue does not answer.
    pub async fn readings(&self, catalog: &dyn Catalog, now: Timestamp) -> Result<Vec<(&Budget, Money)>, CostError> {
        let month = name_of(now, Cut::Months);
        let mut readings = Vec::new();
        for budget in &self.budgets {
            let most = catalog.most_used(&month, &budget.of, &budget.list, 1).await?;
            readings.push((budget, most.first().map_or(Money::ZERO, |most| most.spent)));
        }
        Ok(readings)
    }

    pub fn currency(&self, budget: &Budget) -> &str {
        self.lists.iter().find(|list| list.name == budget.list).map_or("", |list| &list.currency)
    }

    fn query<'a>(&'a self, now: Timestamp, tenant: Option<&Tenant>) -> CostQuery<'a> {
        let (from, to) = month_of(now);
        let filter = UsageFilter { from: Some(from), to: Some(to), tenant: tenant.cloned(), ..UsageFilter::default() };
        let (lists, generations) = (&self.lists, &self.generations);
        CostQuery { filter, group: UsageGroup::All, lists, generations, after: None, limit: 1 }
    }

    fn used(&self, budget: &Budget, now: Timestamp, tenant: Option<&Tenant>, spent: Money) -> Option<BudgetUse> {
        let list = self.lists.iter().find(|list| list.name == budget.list)?;
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
    }
}
