//! Costs: price lists side by side, with a forecast and budgets.

use axum::{extract::State, response::Response};
use clipkeep_core::{
    cost::{Cost, calendar::month_of},
    human,
};
use maud::{Markup, html};

use super::{
    Trouble,
    layout::{self, Room},
    parts::error_as_alert,
    session::{Fields, Visitor},
    usage::{asked, time_form},
};
use crate::{
    app::App,
    auth::Caller,
    catalog::{UsageGroup, budgets::BudgetUse},
    costs::{CostQuery, CostReport, report},
    report_charts::{self, whose},
    web::{
        AppState,
        api::{costs::refused, query::parse},
        error::ApiError,
    },
};

/// How many lines are shown.
const LINES: u32 = 200;
const GROUPS: [UsageGroup; 6] =
    [UsageGroup::Day, UsageGroup::Month, UsageGroup::Clip, UsageGroup::Model, UsageGroup::Tenant, UsageGroup::Prompt];

pub(super) async fn show(visitor: Visitor, State(app): State<AppState>, query: Fields) -> Result<Response, Trouble> {
    let shown = error_as_alert(look(&app, &visitor.caller, &query).await)?;
    let body = html! {
        h1 { "Costs" }
        (time_form(&visitor, &query, &GROUPS, false))
        (shown)
    };
    Ok(layout::page(&visitor, Room::Costs, "Costs", &body))
}

async fn look(app: &App, caller: &Caller, query: &Fields) -> Result<Markup, ApiError> {
    let now = app.clock.now();
    let (month, _) = month_of(now);
    let mut filter = asked(app, caller, query, now.since(month))?;
    if query.get("to").is_none() {
        // To the month's end, so that there is a forecast.
        filter.to = None;
    }
    let asked = CostQuery {
        filter,
        group: parse::<UsageGroup>("by", query.get("by").map(str::to_owned))?.unwrap_or_default(),
        lists: &app.price_lists,
        generations: &app.config.generation_prices,
        after: None,
        limit: LINES,
    };
    let report = report(&*app.catalog, now, &asked).await.map_err(refused)?;
    let budgets = app.budgets.shown(&*app.catalog, now, &asked.filter, None).await.map_err(refused)?;
    Ok(html! {
        (side_by_side(&report))
        (used(&budgets))
        div.charts { @for chart in report_charts::costs(&report, &budgets) { (chart) } }
        (table(&report))
        @if report.next.is_some() { p.quiet { "There is more than is shown." } }
    })
}

/// Each list's parts, and what the time will end with.
fn side_by_side(report: &CostReport) -> Markup {
    // Generation has a currency of its own, so it is written apart.
    let parts = &report_charts::PARTS[..3];
    html! {
        section.card {
            h2 { "Price lists side by side" }
            div.scroll tabindex="0" role="region" aria-label="Price lists side by side" {
                table {
                    thead {
                        tr {
                            th scope="col" { "List" }
                            @for (name, _) in parts { th.num scope="col" { (name) } }
                            th.num scope="col" { "Generation" }
                            th.num scope="col" { "So far" }
                            th.num scope="col" { "At the end" }
                        }
                    }
                    tbody {
                        @for (at, on) in report.total.costs.iter().enumerate() {
                            tr {
                                th scope="row" { (on.list) }
                                @for (name, of) in parts {
                                    td.num { @if *name == "Operations" && on.operations.is_none() { "–" } @else { (of(&on.cost).rounded()) } }
                                }
                                td.num { (on.generated.rounded()) " " (on.generation_currency) }
                                td.num { b { (on.amount(Cost::total)) } }
                                td.num { (report.forecast.get(at).map_or_else(|| "–".to_owned(), |end| end.amount(Cost::total))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn used(budgets: &[BudgetUse]) -> Markup {
    html! {
        @if !budgets.is_empty() {
            section.card {
                h2 { "Budgets" }
                ul.fills {
                    @for one in budgets {
                        li class=[(one.percent >= 100).then_some("over")] {
                            span { (whose(one)) " on " (one.price_list) ", " (one.month) }
                            meter min="0" max="100" low="80" high="99.9" optimum="0" value=(one.percent.min(100))
                                aria-label={ "Budget of " (whose(one)) } {}
                            span.num { (one.percent) " %: " (one.spent.rounded()) " of " (one.budget.rounded()) " " (one.currency) }
                        }
                    }
                }
            }
        }
    }
}

fn table(report: &CostReport) -> Markup {
    let lists = &report.total.costs;
    html! {
        div.scroll tabindex="0" role="region" aria-label="Costs" {
            table {
                thead {
                    tr {
                        th scope="col" { (report.by) }
                        th.num scope="col" { "Sent" }
                        @for on in lists { th.num scope="col" { (on.list) } }
                    }
                }
                tbody {
                    @for row in &report.costs {
                        tr {
                            th scope="row" { (if row.name.is_empty() { "(none)" } else { &row.name }) }
                            td.num { (human::size(row.viewer_bytes)) }
                            @for on in &row.costs { td.num { (on.amount(Cost::total)) } }
                        }
                    }
                }
                tfoot {
                    tr {
                        th scope="row" { "Total" }
                        td.num { (human::size(report.total.viewer_bytes)) }
                        @for on in lists { td.num { (on.amount(Cost::total)) } }
                    }
                }
            }
        }
    }
}
