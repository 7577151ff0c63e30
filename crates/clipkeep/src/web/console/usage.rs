//! Usage: what was delivered, as charts over time and as a table.

use axum::{extract::State, response::Response};
use clipkeep_core::{human, time::Timestamp, usage::Moment};
use maud::{Markup, html};

use super::{
    Trouble,
    layout::{self, Room},
    parts::error_as_alert,
    session::{Fields, Visitor},
};
use crate::{
    app::App,
    auth::Caller,
    catalog::{CatalogError, UsageFilter, UsageGroup, UsageLine},
    dto::UsageRow,
    report_charts::{self, Stacked},
    web::{
        AppState,
        api::{
            query::{bad, in_order, parse},
            usage::own,
        },
        error::ApiError,
    },
};

/// How many lines are shown.
const LINES: u32 = 400;
/// How many are stacked before all others are one.
const STACKED: usize = 6;
const GROUPS: [UsageGroup; 6] =
    [UsageGroup::Hour, UsageGroup::Day, UsageGroup::Month, UsageGroup::Clip, UsageGroup::Model, UsageGroup::Tenant];

pub(super) async fn show(visitor: Visitor, State(app): State<AppState>, query: Fields) -> Result<Response, Trouble> {
    let shown = error_as_alert(look(&app, &visitor.caller, &query).await)?;
    let body = html! {
        h1 { "Usage" }
        (time_form(&visitor, &query, &GROUPS, true))
        (shown)
    };
    Ok(layout::page(&visitor, Room::Usage, "Usage", &body))
}

/// What time is meant, whose, and how it is added up; the same for costs.
pub(super) fn time_form(visitor: &Visitor, query: &Fields, groups: &[UsageGroup], stacks: bool) -> Markup {
    let value = |name: &str| query.get(name).unwrap_or_default().to_owned();
    let chosen = |name: &str, value: &str, default: &str| query.get(name).unwrap_or(default) == value;
    html! {
        form.filters.card method="get" {
            label { "By"
                select name="by" {
                    @for group in groups {
                        option value=(group.as_str()) selected[chosen("by", group.as_str(), "day")] { (group.as_str()) }
                    }
                }
            }
            @if stacks {
                label { "Stacked by"
                    select name="stack" {
                        @for (value, words) in [("", "nothing"), ("model", "model"), ("tenant", "tenant")] {
                            option value=(value) selected[chosen("stack", value, "")] { (words) }
                        }
                    }
                }
            }
            label { "From" input type="date" name="from" value=(value("from")); }
            label { "Until" input type="date" name="to" value=(value("to")); }
            label { "Model" input name="model" value=(value("model")) autocomplete="off"; }
            @if visitor.caller == Caller::Admin {
                label { "Tenant" input name="tenant" value=(value("tenant")) autocomplete="off"; }
            }
            button type="submit" { "Show" }
        }
    }
}

/// What a form asks for; of the last thirty days unless it says.
pub(super) fn asked(
    app: &App,
    caller: &Caller,
    query: &Fields,
    span: std::time::Duration,
) -> Result<UsageFilter, ApiError> {
    let moment = |name: &str, text: Option<&str>| -> Result<Option<Timestamp>, ApiError> {
        Ok(parse::<Moment>(name, text.map(str::to_owned))?.map(|moment| moment.0))
    };
    let (from, to) = (moment("From", query.get("from"))?, moment("Until", query.until("to").as_deref())?);
    in_order(("From", from), ("Until", to))?;
    let now = app.clock.now();
    let filter = UsageFilter {
        from: from.or_else(|| Some(to.unwrap_or(now).minus(span))),
        to: to.or(Some(now.plus(std::time::Duration::from_millis(1)))),
        tenant: parse("tenant", query.get("tenant").map(str::to_owned))?,
        model: query.get("model").map(str::to_owned),
        key: None,
    };
    own(caller.clone(), filter)
}

async fn look(app: &App, caller: &Caller, query: &Fields) -> Result<Markup, ApiError> {
    const SPAN: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);
    let filter = asked(app, caller, query, SPAN)?;
    let by: UsageGroup = parse("by", query.get("by").map(str::to_owned))?.unwrap_or_default();
    let page = app.catalog.usage(&filter, by, None, LINES).await?;
    let total = app.catalog.usage(&filter, UsageGroup::All, None, 1).await?.lines.pop();
    let total = UsageRow::new(total.unwrap_or_else(UsageLine::nothing));
    let stack = match query.get("stack") {
        None => None,
        Some("model") => Some(UsageGroup::Model),
        Some("tenant") => Some(UsageGroup::Tenant),
        Some(_) => return Err(bad("stack", "is model or tenant")),
    };
    let is_time = matches!(by, UsageGroup::Hour | UsageGroup::Day | UsageGroup::Month);
    let stacked = match stack.filter(|_| is_time) {
        Some(stack) => stacked(app, &filter, by, stack, &page.lines).await?,
        None => Stacked { series: vec![(String::new(), page.lines.clone())] },
    };
    let rows: Vec<UsageRow> = page.lines.into_iter().map(UsageRow::new).collect();
    Ok(html! {
        div.charts { @for chart in report_charts::usage(by, &stacked, filter.from.zip(filter.to)) { (chart) } }
        (table(by, &rows, &total))
        @if page.next.is_some() { p.quiet { "There is more than is shown." } }
    })
}

/// The lines of the few that had most, and of all others together.
async fn stacked(
    app: &App,
    filter: &UsageFilter,
    by: UsageGroup,
    stack: UsageGroup,
    all: &[UsageLine],
) -> Result<Stacked, CatalogError> {
    let mut most = app.catalog.usage(filter, stack, None, 1000).await?.lines;
    most.sort_by_key(|line| std::cmp::Reverse(line.counts.viewer_bytes));
    let mut series = Vec::new();
    let mut rest: Vec<UsageLine> = all.to_vec();
    for line in most.into_iter().filter(|line| !line.name.is_empty()).take(STACKED) {
        let of = match stack {
            UsageGroup::Model => UsageFilter { model: Some(line.name.clone()), ..filter.clone() },
            // What a row names was a tenant's name when it was written.
            _ => UsageFilter { tenant: line.name.parse().ok(), ..filter.clone() },
        };
        let lines = app.catalog.usage(&of, by, None, LINES).await?.lines;
        for other in &mut rest {
            if let Some(own) = lines.iter().find(|line| line.name == other.name) {
                other.counts.viewer_bytes = other.counts.viewer_bytes.saturating_sub(own.counts.viewer_bytes);
                other.counts.plays = other.counts.plays.saturating_sub(own.counts.plays);
            }
        }
        series.push((line.name, lines));
    }
    if rest.iter().any(|line| line.counts.viewer_bytes + line.counts.plays > 0) {
        series.push(("all others".to_owned(), rest));
    }
    Ok(Stacked { series })
}

fn table(by: UsageGroup, rows: &[UsageRow], total: &UsageRow) -> Markup {
    let cells = |row: &UsageRow| {
        html! {
            td.num { (row.plays) }
            td.num { (human::size(row.viewer_bytes)) }
            td.num { (row.hits) }
            td.num { (row.cold_fetches) }
            td.num { (human::size(row.source_bytes)) }
            td.num { (row.aborted_plays) }
            td.num { (row.first_byte_ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1} ms"))) }
        }
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="Usage" {
            table {
                thead {
                    tr {
                        th scope="col" { (by.as_str()) }
                        @for name in ["Plays", "Sent", "Hits", "Cold", "From sources", "Aborted", "First byte"] { th.num scope="col" { (name) } }
                    }
                }
                tbody { @for row in rows { tr { th scope="row" { (if row.name.is_empty() { "(none)" } else { &row.name }) } (cells(row)) } } }
                tfoot { tr { th scope="row" { "Total" } (cells(total)) } }
            }
        }
    }
}
