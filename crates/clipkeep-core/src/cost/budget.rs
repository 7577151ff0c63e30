//! Budgets: how much a calendar month may cost.

use std::fmt;

use super::Money;
use crate::id::Tenant;

/// Of how many hundredths of a budget somebody is told.
pub const THRESHOLDS: [u64; 2] = [80, 100];

/// What a budget is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BudgetFor {
    /// All together.
    All,
    /// One tenant.
    Tenant(Tenant),
    /// Each tenant apart.
    EachTenant,
}

impl fmt::Display for BudgetFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Tenant(tenant) => write!(f, "tenant={tenant}"),
            Self::EachTenant => f.write_str("tenant=*"),
        }
    }
}

/// How much a month may cost on a price list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    pub of: BudgetFor,
    /// How much, in the list's currency.
    pub amount: Money,
    pub list: String,
}

/// As the configuration writes it.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}@{}", self.of, self.amount, self.list)
    }
}

impl Budget {
    /// Whether `other` never holds where this one stands before it.
    pub fn overrules(&self, other: &Self) -> bool {
        let is_wider = self.of == BudgetFor::EachTenant && matches!(other.of, BudgetFor::Tenant(_));
        self.list == other.list && (self.of == other.of || is_wider)
    }

    fn fits(&self, tenant: Option<&Tenant>) -> bool {
        match (&self.of, tenant) {
            (BudgetFor::All, None) | (BudgetFor::EachTenant, Some(_)) => true,
            (BudgetFor::Tenant(own), Some(tenant)) => own == tenant,
            _ => false,
        }
    }
}

/// The budgets that hold for this tenant, or for all together: on each list the
/// first that fits.
pub fn budgets_of<'a>(budgets: &'a [Budget], tenant: Option<&Tenant>) -> Vec<&'a Budget> {
    let mut found: Vec<&Budget> = Vec::new();
    for budget in budgets.iter().filter(|budget| budget.fits(tenant)) {
        if found.iter().all(|other| other.list != budget.list) {
            found.push(budget);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_each_list_the_first_budget_that_fits_holds() {
        let tenant = |name: &str| name.parse::<Tenant>().unwrap();
        let budget = |of, amount: &str, list: &str| Budget { of, amount: amount.parse().unwrap(), list: list.into() };
        let budgets = [
            budget(BudgetFor::All, "100", "s3"),
            budget(BudgetFor::Tenant(tenant("acme")), "20", "s3"),
            budget(BudgetFor::EachTenant, "10", "s3"),
            budget(BudgetFor::EachTenant, "5", "r2"),
            budget(BudgetFor::Tenant(tenant("acme")), "1", "r2"),
        ];
        let of = |whose: Option<&str>| {
            let whose = whose.map(tenant);
            let found = budgets_of(&budgets, whose.as_ref());
            found.into_iter().map(|budget| budget.amount.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of(None), ["100.00"]);
        assert_eq!(of(Some("acme")), ["20.00", "5.00"]);
        assert_eq!(of(Some("other")), ["10.00", "5.00"]);
    }
}
