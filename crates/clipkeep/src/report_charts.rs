//! Usage and costs as charts: the same in the console and in reports.

use std::collections::{BTreeMap, BTreeSet};

use clipkeep_core::{
    cost::{
        Cost, Money,
        calendar::{Cut, name_of, slices},
    },
    human,
    time::Timestamp,
};
use maud::Markup;

use crate::{
    catalog::{UsageGroup, UsageLine, budgets::BudgetUse},
    charts::{Bar, Bars, Column, Columns, Scale},
    costs::{CostOnList, CostReport, CostRow},
};

const BYTES: Scale = Scale { text: |bytes| human::size(u64::try_from(bytes).unwrap_or(u64::MAX)), binary: true };
const COUNT: Scale = Scale { text: |count| count.to_string(), binary: false };
const MONEY: Scale = Scale { text: |attos| Money::from_attos(attos).rounded(), binary: false };
/// The most moments that are drawn though nothing is known of them.
const MAX_COLUMNS: usize = 400;

/// Lines of usage by what they are stacked by; one unnamed series stacks nothing.
pub(crate) struct Stacked {
    /// Of each series, its name and its lines.
    pub(crate) series: Vec<(String, Vec<UsageLine>)>,
}

/// What was delivered: bytes and plays, over time or beside one another.
pub(crate) fn usage(by: UsageGroup, lines: &Stacked, span: Option<(Timestamp, Timestamp)>) -> Vec<Markup> {
    let sent = |line: &UsageLine| u128::from(line.counts.viewer_bytes);
    let plays = |line: &UsageLine| u128::from(line.counts.plays);
    if !matches!(by, UsageGroup::Hour | UsageGroup::Day | UsageGroup::Month) {
        let all = lines.series.iter().flat_map(|(_, lines)| lines);
        let bars = |title: &str, amount: &dyn Fn(&UsageLine) -> u128, scale: Scale| {
            let bar = |line: &UsageLine| bar(&line.name, amount(line), (scale.text)(amount(line)));
            Bars::new(title, all.clone().map(bar).collect()).draw()
        };
        return vec![bars("Sent to viewers", &sent, BYTES), bars("Plays", &plays, COUNT)];
    }
    let known = lines.series.iter().flat_map(|(_, lines)| lines.iter().map(|line| line.name.clone()));
    let names = moments(by, known.collect(), span);
    let drawn = |title: &str, amount: &dyn Fn(&UsageLine) -> u128, scale: Scale| {
        let by_name = |lines: &[UsageLine]| -> BTreeMap<String, u128> {
            lines.iter().map(|line| (line.name.clone(), amount(line))).collect()
        };
        let series: Vec<_> = lines.series.iter().map(|(_, lines)| by_name(lines)).collect();
        let column = |name: &String| Column {
            name: name.clone(),
            amounts: series.iter().map(|amounts| amounts.get(name).copied().unwrap_or_default()).collect(),
        };
        let columns = names.iter().map(column).collect();
        let series = lines.series.iter().map(|(name, _)| named(name)).collect();
        Columns { title: title.to_owned(), series, columns, scale }.draw()
    };
    vec![drawn("Sent to viewers", &sent, BYTES), drawn("Plays", &plays, COUNT)]
}

/// What it costs: on all lists side by side, with what the time will end with; the
/// budgets; and on each list, over time or beside one another.
pub(crate) fn costs(report: &CostReport, budgets: &[BudgetUse]) -> Vec<Markup> {
    let mut drawn = Vec::new();
    // Amounts in two currencies cannot be held against one another.
    let currencies: BTreeSet<&str> = report.total.costs.iter().map(|on| on.currency.as_str()).collect();
    for currency in currencies {
        let beside = |title: String, on: &[CostOnList]| {
            let of_it = on.iter().filter(|one| one.currency == currency);
            let bar = |one: &CostOnList| bar(&one.list, one.cost.total().attos(), one.amount(Cost::total));
            Bars::new(title, of_it.map(bar).collect()).draw()
        };
        drawn.push(beside(format!("So far, on each price list, in {currency}"), &report.total.costs));
        if !report.forecast.is_empty() {
            drawn.push(beside(
                format!("At the end of the time, if the last days go on, in {currency}"),
                &report.forecast,
            ));
        }
    }
    if let Some(first) = budgets.first() {
        let title = format!("Budgets of {}: how much is used up", first.month);
        drawn.push(Bars { title, bars: budgets.iter().map(budget).collect(), whole: 100 }.draw());
    }
    drawn.extend((0..report.total.costs.len()).map(|at| on_list(report, at)));
    drawn
}

fn budget(one: &BudgetUse) -> Bar {
    Bar {
        name: format!("{} on {}", whose(one), one.price_list),
        amount: one.percent.into(),
        text: format!("{} %: {} of {} {}", one.percent, one.spent.rounded(), one.budget.rounded(), one.currency),
        exceeds: one.percent >= 100,
    }
}

/// Whose budget it is, in words.
pub(crate) fn whose(one: &BudgetUse) -> String {
    one.tenant.as_ref().map_or_else(|| "all".to_owned(), ToString::to_string)
}

/// A part of a cost, by the name it is shown under.
pub(crate) type CostPart = (&'static str, fn(&Cost) -> Money);

/// What a cost is made of, in the order it is shown.
pub(crate) const PARTS: [CostPart; 4] = [
    ("Storage", |cost| cost.storage),
    ("Egress", |cost| cost.egress),
    ("Operations", |cost| cost.operations),
    ("Generation", |cost| cost.generation),
];

/// One list's costs by what the report is by; over time, by what they are for.
fn on_list(report: &CostReport, at: usize) -> Markup {
    let on = &report.total.costs[at];
    let title = format!("{} by {}, in {}", on.list, report.by, on.currency);
    let rows = || report.costs.iter().filter_map(|row| Some((row, row.costs.get(at)?)));
    let by = match report.by {
        "day" => UsageGroup::Day,
        "month" => UsageGroup::Month,
        _ => {
            let bar =
                |(row, on): (&CostRow, &CostOnList)| bar(&row.name, on.cost.total().attos(), on.amount(Cost::total));
            return Bars::new(title, rows().map(bar).collect()).draw();
        }
    };
    let known: BTreeMap<String, &Cost> = rows().map(|(row, on)| (row.name.clone(), &on.cost)).collect();
    let column = |name: &String| Column {
        name: name.clone(),
        amounts: PARTS.iter().map(|(_, of)| known.get(name).map_or(0, |cost| of(cost).attos())).collect(),
    };
    let names = moments(by, known.keys().cloned().collect(), Some((report.from, report.to)));
    let (series, columns) = (PARTS.map(|(name, _)| name.to_owned()).to_vec(), names.iter().map(column).collect());
    Columns { title, series, columns, scale: MONEY }.draw()
}

fn bar(name: &str, amount: u128, text: String) -> Bar {
    Bar { name: named(name), amount, text, exceeds: false }
}

fn named(name: &str) -> String {
    if name.is_empty() { "(none)".to_owned() } else { name.to_owned() }
}

/// The moments of a time, those without anything among them, as long as they are
/// not too many.
fn moments(by: UsageGroup, known: BTreeSet<String>, span: Option<(Timestamp, Timestamp)>) -> Vec<String> {
    let cut = match by {
        UsageGroup::Day => Cut::Days,
        UsageGroup::Month => Cut::Months,
        _ => return known.into_iter().collect(),
    };
    let Some((from, to)) = span else { return known.into_iter().collect() };
    let pieces = slices(from, to, cut);
    if pieces.len() > MAX_COLUMNS {
        return known.into_iter().collect();
    }
    let all: BTreeSet<String> = pieces.iter().map(|piece| name_of(piece.from, cut)).chain(known).collect();
    all.into_iter().collect()
}
