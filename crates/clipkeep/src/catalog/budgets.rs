//! Budgets: how much of them is used up, and what was told of it, once.
//!
//! Tenants are finish_budget_check a few at a time, each by one node for all: a turn is held
//! for a while, its results are kept, and the next one goes on from there.

use std::time::Duration;

use async_trait::async_trait;
use clipkeep_core::{
    cost::{
        BudgetFor, Money, THRESHOLDS,
        calendar::{Cut, month_of, name_of},
    },
    event::{Event, EventType},
    id::Tenant,
    time::Timestamp,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{CatalogError, Result};

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
    /// `percent`, as it is kept.
    pub(super) fn percent_kept(&self) -> i64 {
        i64::try_from(self.percent).unwrap_or(i64::MAX)
    }

    /// What is to be told of it: one alarm for each threshold that is reached.
    pub fn alarms(&self) -> impl Iterator<Item = BudgetAlarm> {
        let reached = THRESHOLDS.into_iter().filter(|threshold| self.percent >= *threshold);
        reached.map(|threshold| BudgetAlarm { used: self.clone(), threshold })
    }
}

/// So much of a budget is spent as somebody is to be told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BudgetAlarm {
    #[serde(flatten)]
    pub used: BudgetUse,
    /// Of how many hundredths this tells.
    pub threshold: u64,
}

/// What is told of once: month, tenant, list, amount and threshold.
pub type BudgetAlarmId = (String, Option<Tenant>, String, String, u64);

impl BudgetAlarm {
    /// What makes it another than those that were told of before.
    pub fn id(&self) -> BudgetAlarmId {
        let BudgetUse { month, tenant, price_list, budget, .. } = &self.used;
        (month.clone(), tenant.clone(), price_list.clone(), budget.to_string(), self.threshold)
    }

    /// What the world is told.
    pub(super) fn event(&self, at: Timestamp) -> Event {
        let BudgetUse { tenant, spent, budget, currency, percent, month, .. } = &self.used;
        let whose = tenant.as_ref().map_or_else(|| "all together".to_owned(), |tenant| format!("tenant {tenant}"));
        let (spent, budget) = (spent.rounded(), budget.rounded());
        let reason = format!("{month}, {whose}: {spent} of {budget} {currency} are spent ({percent} %)");
        let mut alarm = serde_json::json!(self);
        alarm["reason"] = reason.into();
        let (tenant, detail) = (tenant.clone(), Some(alarm.to_string()));
        Event { kind: EventType::BudgetExceeded, at, generation: None, key: None, detail, tenant }
    }
}

/// How many tenants one turn weighs.
pub(super) const TENANTS_PER_TURN: u32 = 50;
/// How long a turn is held: after that its node is taken for dead.
const TURN_TIMEOUT: Duration = Duration::from_secs(60);
/// When in a month what was delivered in the one before is in the books.
const MONTH_CLOSE_DELAY: Duration = Duration::from_secs(300);
/// Until when in a month the one before is finish_budget_check for the last time.
const CLOSING_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// How far the look at all budgets is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Round {
    /// The month that is finish_budget_check.
    pub(super) month: String,
    pub(super) plan: String,
    /// The last tenant that was finish_budget_check; empty at the beginning.
    pub(super) after: String,
    /// Whether the month is over, and this the last look at it.
    pub(super) closing: bool,
    /// Nobody goes on before that.
    pub(super) held_until: Timestamp,
}

/// Who wants to weigh, and when.
#[derive(Clone, Debug)]
pub struct BudgetCheck {
    pub now: Timestamp,
    /// What the budgets are by now, as the configuration writes them.
    pub plan: String,
    /// How long all rest once everybody was finish_budget_check.
    pub rest: Duration,
}

/// What is to be finish_budget_check next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The budgets, as the configuration wrote them in that month.
    pub plan: String,
    /// Up to when the books are to be read: now, or the month's last moment.
    pub moment: Timestamp,
    /// Whether it is the round's first, with what all together may spend.
    pub is_first: bool,
    /// Whether it is the round's last.
    pub is_last: bool,
    pub tenants: Vec<Tenant>,
    /// The last name that was found.
    last: Option<String>,
    pub(super) held: Round,
}

impl Round {
    /// The round as `check` finds it, held by it; none if it is held by another,
    /// or rests, or the month before is not in the books yet.
    pub(super) fn take(found: Option<Self>, check: &BudgetCheck) -> Option<(Self, Timestamp)> {
        let now = check.now;
        let (began, _) = month_of(now);
        let (this, end) = (name_of(now, Cut::Months), began.minus(Duration::from_millis(1)));
        let fresh = || Self {
            month: this.clone(),
            plan: check.plan.clone(),
            after: String::new(),
            closing: false,
            held_until: now,
        };
        let mut round = match found {
            // What is held for longer than anybody holds it was held by another clock.
            Some(round) if round.held_until > now && round.held_until <= now.plus(TURN_TIMEOUT.max(check.rest)) => {
                return None;
            }
            Some(round) if round.month == this => Self { plan: check.plan.clone(), ..round },
            Some(round) if round.month == name_of(end, Cut::Months) && now.since(began) < CLOSING_WINDOW => {
                if now.since(began) < MONTH_CLOSE_DELAY {
                    return None;
                }
                let after = if round.closing { round.after } else { String::new() };
                Self { after, closing: true, ..round }
            }
            _ => fresh(),
        };
        round.held_until = now.plus(TURN_TIMEOUT);
        let moment = if round.closing { end } else { now };
        Some((round, moment))
    }

    /// The round after this turn of it.
    pub(super) fn after(turn: &Turn, check: &BudgetCheck) -> Self {
        let held = turn.held.clone();
        match (&turn.last, turn.is_last) {
            (Some(last), false) => Self { after: last.clone(), held_until: check.now, ..held },
            _ if held.closing => Self {
                month: name_of(check.now, Cut::Months),
                after: String::new(),
                closing: false,
                held_until: check.now,
                ..held
            },
            _ => Self { after: String::new(), held_until: check.now.plus(check.rest), ..held },
        }
    }
}

impl Turn {
    pub(super) fn new(held: Round, moment: Timestamp, names: Vec<String>) -> Self {
        Self {
            plan: held.plan.clone(),
            moment,
            is_first: held.after.is_empty(),
            is_last: (names.len() as u64) < u64::from(TENANTS_PER_TURN),
            tenants: names.iter().filter_map(|name| name.parse().ok()).collect(),
            last: names.into_iter().next_back(),
            held,
        }
    }
}

/// How much a tenant, or all together, had spent when it was last finish_budget_check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetSpent {
    /// Whose budget; none is for all together.
    pub tenant: Option<Tenant>,
    pub spent: Money,
}

/// Reads a row of what was kept.
pub(super) fn kept(tenant: &str, spent: &str) -> Result<BudgetSpent> {
    let bad = |column| CatalogError::BadRow { table: "budgets_used", key: tenant.to_owned(), column };
    let whose = || tenant.parse().map_err(|_| bad("tenant"));
    let tenant = if tenant.is_empty() { None } else { Some(whose()?) };
    Ok(BudgetSpent { tenant, spent: spent.parse().map_err(|_| bad("spent"))? })
}

/// Names of tenants in order, from the first that comes after `$1`, by the indexes
/// alone however many clips there are.
pub(super) fn tenants_after(mark: char) -> String {
    let next = |after: &str| {
        let of = |table: &str| {
            format!("SELECT (SELECT tenant FROM {table} WHERE tenant > {after} ORDER BY tenant LIMIT 1) AS tenant")
        };
        let all = ["storage_periods", "usage", "clips"].map(of).join(" UNION ALL ");
        format!("(SELECT min(tenant) FROM ({all}) nearest)")
    };
    let (first, further) = (next(&format!("{mark}1")), next("walk.tenant"));
    format!(
        "WITH RECURSIVE walk (tenant) AS (SELECT {first} UNION ALL SELECT {further} FROM walk \
         WHERE walk.tenant IS NOT NULL) SELECT tenant FROM walk WHERE tenant IS NOT NULL LIMIT {mark}2"
    )
}

/// The part of the catalogue that remembers what budgets came to, and which alarms
/// were raised.
#[async_trait]
pub trait Budgets {
    /// Claims the next budget check that is due, if there is one.
    async fn claim_budget_check(&self, check: &BudgetCheck) -> Result<Option<Turn>>;

    /// Keeps what a turn found and lets it go, unless another node took over.
    async fn finish_budget_check(&self, turn: &Turn, found: &[BudgetUse], check: &BudgetCheck) -> Result<()>;

    /// Who used up most of this budget in a month, at most so many.
    async fn most_used(&self, month: &str, of: &BudgetFor, price_list: &str, most: u32) -> Result<Vec<BudgetSpent>>;

    /// How many budgets a month used up.
    async fn count_used_up(&self, month: &str) -> Result<u64>;

    /// Tells of a budget, unless that was done for this amount, month and
    /// threshold, by whatever node; answers whether it is told now.
    async fn emit_budget_alarm(&self, alarm: &BudgetAlarm, at: Timestamp) -> Result<bool>;
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(30);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn check(now: &str, plan: &str) -> BudgetCheck {
        BudgetCheck { now: at(now), plan: plan.to_owned(), rest: REST }
    }

    fn tenants(count: u32) -> Vec<String> {
        (0..count).map(|number| format!("t{number:03}")).collect()
    }

    #[test]
    fn h51_a_round_goes_from_turn_to_turn_and_then_rests() {
        let first = check("2027-01-10T00:00:00Z", "a");
        let (held, moment) = Round::take(None, &first).unwrap();
        assert_eq!((held.month.as_str(), moment, held.closing), ("2027-01", first.now, false));
        assert_eq!(Round::take(Some(held.clone()), &first), None, "another node is at it");
        let dead = check("2027-01-10T00:01:00Z", "a");
        assert!(Round::take(Some(held.clone()), &dead).is_some(), "and does not come back");
        let set_back = check("2027-01-09T00:00:00Z", "a");
        assert!(Round::take(Some(held.clone()), &set_back).is_some(), "nor does one of another clock");
        // A name that is none is passed over, and ends no round.
        let names = [vec!["no name".to_owned()], tenants(TENANTS_PER_TURN)[1..].to_vec()].concat();
        let turn = Turn::new(held, moment, names);
        assert!(turn.is_first && !turn.is_last && turn.tenants.len() == 49);
        let (held, moment) = Round::take(Some(Round::after(&turn, &first)), &first).unwrap();
        assert_eq!(held.after, "t049");
        let turn = Turn::new(held, moment, tenants(3));
        assert!(!turn.is_first && turn.is_last);
        let resting = Round::after(&turn, &first);
        assert_eq!(Round::take(Some(resting.clone()), &first), None);
        let later = check("2027-01-10T00:00:30Z", "b");
        let (held, _) = Round::take(Some(resting), &later).unwrap();
        assert_eq!((held.after.as_str(), held.plan.as_str()), ("", "b"), "what was changed holds");
    }

    #[test]
    fn h51_a_month_that_is_over_is_weighed_once_more_against_its_own_budgets() {
        let january = Round {
            month: "2027-01".into(),
            plan: "old".into(),
            after: "t01".into(),
            closing: false,
            held_until: at("2027-01-31T23:59:59Z"),
        };
        let take = |round: &Round, now| Round::take(Some(round.clone()), &check(now, "new"));
        assert_eq!(take(&january, "2027-02-01T00:01:00Z"), None, "the last counts may be on their way");
        let (held, moment) = take(&january, "2027-02-01T00:06:00Z").unwrap();
        assert_eq!((held.plan.as_str(), held.after.as_str(), held.closing), ("old", "", true));
        assert_eq!(moment, at("2027-01-31T23:59:59.999Z"));
        let later = check("2027-02-01T00:06:01Z", "new");
        let half = Round::after(&Turn::new(held, moment, tenants(TENANTS_PER_TURN)), &later);
        let (held, moment) = Round::take(Some(half), &later).unwrap();
        assert_eq!((held.after.as_str(), held.closing), ("t049", true));
        let over = Round::after(&Turn::new(held, moment, tenants(0)), &later);
        let (held, moment) = Round::take(Some(over), &later).unwrap();
        assert_eq!((held.month.as_str(), held.plan.as_str(), held.closing), ("2027-02", "new", false));
        assert_eq!(moment, later.now);
        for late in ["2027-02-02T00:06:00Z", "2027-03-01T00:06:00Z"] {
            let (held, _) = take(&january, late).unwrap();
            assert_eq!((held.plan.as_str(), held.closing, held.after.as_str()), ("new", false, ""), "long ago");
        }
    }
}
