//! `clipkeep costs`: what clips cost.

use std::{path::PathBuf, process::ExitCode};

use clipkeep_core::{
    config::Config,
    cost::{Cost, Money},
    id::{ClipKey, Tenant},
    time::Clock,
    usage::Moment,
};

use super::{
    chart::{self, Page},
    output, wrong_usage,
};
use crate::{
    catalog::{self, UsageFilter, UsageGroup, budgets::BudgetUse},
    charts::{Bar, Bars},
    clock::SystemClock,
    costs::{BudgetWatch, CostOnList, CostQuery, CostReport, CostRow, price_lists, report},
    report_charts::{self, whose},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Group by clip, tenant, model, prompt, day or month.
    #[arg(long, default_value = "day")]
    by: UsageGroup,
    /// Costs from this time on (2026-01-31T12:00:00Z, 2026-01-31 or 2026-01; UTC); by default from the start of the month.
    #[arg(long)]
    from: Option<Moment>,
    /// Costs before this time; by default up to the end of the month.
    #[arg(long)]
    to: Option<Moment>,
    /// Only clips of this tenant.
    #[arg(long)]
    tenant: Option<Tenant>,
    /// Only clips of this model.
    #[arg(long)]
    model: Option<String>,
    /// Only this clip.
    #[arg(long)]
    key: Option<ClipKey>,
    /// Use only this price list.
    #[arg(long)]
    list: Option<String>,
    /// Also write an HTML page with charts to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print at most this many rows.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub(super) async fn run(config: Config, args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    output::in_order("--from", args.from, "--to", args.to)?;
    let catalog = catalog::open::open_configured(&config).await?;
    let mut lists = price_lists(&config)?;
    let watch = BudgetWatch::new(&config, &lists)?;
    if let Some(wanted) = &args.list {
        let known: Vec<String> = lists.iter().map(|list| list.name.clone()).collect();
        lists.retain(|list| list.name == *wanted);
        if lists.is_empty() {
            return Err(wrong_usage(format!("there is no price list {wanted}; hint: there are {}", known.join(", "))));
        }
    }
    let filter = UsageFilter {
        from: args.from.map(|moment| moment.0),
        to: args.to.map(|moment| moment.0),
        tenant: args.tenant.clone(),
        model: args.model.clone(),
        key: args.key.clone(),
    };
    let query = CostQuery {
        filter: filter.by_names(&*catalog).await?,
        group: args.by,
        lists: &lists,
        generations: &config.generation_prices,
        after: None,
        limit: args.limit,
    };
    let now = SystemClock.now();
    let report = report(&*catalog, now, &query).await?;
    let budgets = watch.shown(&*catalog, now, &query.filter, args.list.as_deref()).await?;
    if let Some(path) = &args.html {
        chart::write(path, &page(&report, &budgets))?;
        if !as_json {
            output::note(format!("wrote {}", path.display()));
        }
    }
    if as_json {
        let mut told = serde_json::to_value(&report)?;
        told["is_cut"] = report.next.is_some().into();
        told["budgets"] = serde_json::to_value(&budgets)?;
        output::json(&told)?;
    } else {
        print(&report);
        print_budgets(&budgets);
    }
    if report.next.is_some() && !as_json {
        output::note(format!("there is more than {} lines; --limit shows up to 1000", args.limit));
    }
    Ok(ExitCode::SUCCESS)
}

fn named(row: &CostRow) -> String {
    if row.name.is_empty() { "-".to_owned() } else { output::shorten(&row.name, 60) }
}

fn headings(report: &CostReport) -> Vec<String> {
    let lists = report.total.costs.iter().map(|on| on.list.to_uppercase());
    [report.by.to_uppercase(), "SENT".to_owned()].into_iter().chain(lists).collect()
}

fn rows(report: &CostReport) -> Vec<Vec<String>> {
    let row = |name: String, row: &CostRow| {
        let lists = row.costs.iter().map(|on| on.amount(Cost::total));
        [name, output::size(row.viewer_bytes)].into_iter().chain(lists).collect()
    };
    let mut rows: Vec<Vec<String>> = report.costs.iter().map(|one| row(named(one), one)).collect();
    rows.push(row("total".to_owned(), &report.total));
    rows
}

fn print(report: &CostReport) {
    output::line(format!("from {} to {}", report.from, report.to));
    output::line("");
    let headings = headings(report);
    output::table(&headings.iter().map(String::as_str).collect::<Vec<_>>(), &rows(report));
    let row = |(at, on): (usize, &CostOnList)| {
        let operations = on.operations.as_ref().map_or_else(unknown, |_| on.amount(|cost| cost.operations));
        let generation = format!("{} {}", on.generated.rounded(), on.generation_currency);
        let end = report.forecast.get(at).map_or_else(unknown, |end| end.amount(Cost::total));
        let (storage, egress) = (on.amount(|cost| cost.storage), on.amount(|cost| cost.egress));
        vec![on.list.clone(), storage, egress, operations, generation, on.amount(Cost::total), end]
    };
    let lists: Vec<Vec<String>> = report.total.costs.iter().enumerate().map(row).collect();
    output::line("");
    output::table(&["LIST", "STORAGE", "EGRESS", "OPERATIONS", "GENERATION", "TOTAL", "AT THE END"], &lists);
    notes(report).iter().for_each(output::note);
    charts(report).iter().for_each(|chart| chart::print(&chart.title, &chart.bars));
}

/// What is not in the lines above, or not in their sum.
fn notes(report: &CostReport) -> Vec<String> {
    let on = &report.total.costs;
    let mut notes = Vec::new();
    if on.iter().any(|on| on.operations.is_none()) {
        notes.push("whose the bucket's operations were is not known: they are in no amount here".to_owned());
    } else if !matches!(report.by, "day" | "month") {
        notes.push(format!("the bucket's operations are in the total, not in the lines: no {} has its own", report.by));
    }
    if let Some(apart) = on.iter().find(|on| on.currency != on.generation_currency) {
        notes.push(format!("generations cost {}, which is in no total in another currency", apart.generation_currency));
    }
    notes
}

fn unknown() -> String {
    "-".to_owned()
}

fn print_budgets(budgets: &[BudgetUse]) {
    if budgets.is_empty() {
        return;
    }
    let row = |one: &BudgetUse| {
        let amount = |amount: Money| format!("{} {}", amount.rounded(), one.currency);
        let percent = format!("{} %", one.percent);
        vec![whose(one), one.month.clone(), one.price_list.clone(), amount(one.spent), amount(one.budget), percent]
    };
    output::line("");
    let rows: Vec<_> = budgets.iter().map(row).collect();
    output::table(&["BUDGET", "MONTH", "LIST", "SPENT", "OF", "USED"], &rows);
}

/// One list's bars, under their title.
fn charts(report: &CostReport) -> Vec<Bars> {
    let chart = |(at, on): (usize, &CostOnList)| {
        let bar = |row: &CostRow| row.costs.get(at).map(|on| bar(named(row), on));
        Bars::new(format!("{} by {}", on.list, report.by), report.costs.iter().filter_map(bar).collect())
    };
    report.total.costs.iter().enumerate().map(chart).collect()
}

fn bar(name: String, on: &CostOnList) -> Bar {
    Bar { name, amount: on.cost.total().attos(), text: on.amount(Cost::total), exceeds: false }
}

fn page(report: &CostReport, budgets: &[BudgetUse]) -> Page {
    Page {
        title: format!("Costs from {} to {}", report.from, report.to),
        charts: report_charts::costs(report, budgets),
        headings: headings(report),
        rows: rows(report),
    }
}
