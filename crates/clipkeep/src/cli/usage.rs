//! `clipkeep usage`: what was delivered.

use std::{path::PathBuf, process::ExitCode};

use clipkeep_core::{
    config::Config,
    id::{ClipKey, Tenant},
    usage::Moment,
};
use serde_json::json;

use super::{
    chart::{self, Page},
    output,
};
use crate::{
    catalog::{self, Catalog, UsageFilter, UsageGroup, UsageLine},
    charts::Bar,
    dto::UsageRow,
    report_charts::{self, Stacked},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Group by clip, tenant, model, prompt, hour, day or month.
    #[arg(long, default_value = "day")]
    by: UsageGroup,
    /// Only hours that begin at or after this time (2026-01-31T12:00:00Z, 2026-01-31 or 2026-01; UTC).
    #[arg(long)]
    from: Option<Moment>,
    /// Only hours that begin before this time.
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
    /// Also write an HTML page with charts to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print at most this many rows.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

impl Args {
    fn filter(&self) -> UsageFilter {
        UsageFilter {
            from: self.from.map(|moment| moment.0),
            to: self.to.map(|moment| moment.0),
            tenant: self.tenant.clone(),
            model: self.model.clone(),
            key: self.key.clone(),
        }
    }
}

pub(super) async fn run(config: Config, args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    output::in_order("--from", args.from, "--to", args.to)?;
    let catalog = catalog::open::open_configured(&config).await?;
    let filter = args.filter().by_names(&*catalog).await?;
    let page = catalog.usage(&filter, args.by, None, args.limit).await?;
    let total = total(&*catalog, &filter).await?;
    if let Some(path) = &args.html {
        chart::write(path, &page_of(args.by, &filter, &page.lines, &total))?;
        if !as_json {
            output::note(format!("wrote {}", path.display()));
        }
    }
    if as_json {
        let usage: Vec<UsageRow> = page.lines.into_iter().map(UsageRow::new).collect();
        let total = UsageRow::new(total);
        output::json(&json!({"by": args.by.as_str(), "usage": usage, "total": total, "is_cut": page.next.is_some()}))?;
    } else if page.lines.is_empty() {
        output::line("nothing was delivered");
    } else {
        print(args.by, &page.lines, &total);
        let bars = page.lines.iter().map(|line| bar(line, line.counts.viewer_bytes));
        chart::print("Sent to viewers", &bars.collect::<Vec<_>>());
        if page.next.is_some() {
            output::note(format!("there is more than {} lines; --limit shows up to 1000", args.limit));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn total(catalog: &dyn Catalog, filter: &UsageFilter) -> anyhow::Result<UsageLine> {
    let all = catalog.usage(filter, UsageGroup::All, None, 1).await?;
    Ok(all.lines.into_iter().next().unwrap_or_else(UsageLine::nothing))
}

fn named(line: &UsageLine) -> String {
    if line.name.is_empty() { "-".to_owned() } else { output::shorten(&line.name, 60) }
}

fn bar(line: &UsageLine, amount: u64) -> Bar {
    Bar { name: named(line), amount: amount.into(), text: output::size(amount), exceeds: false }
}

const HEADINGS: [&str; 7] = ["PLAYS", "SENT", "HITS", "COLD", "FROM SOURCES", "ABORTED", "FIRST BYTE"];

fn rows(lines: &[UsageLine], total: &UsageLine) -> Vec<Vec<String>> {
    let row = |name: String, line: &UsageLine| {
        let counts = &line.counts;
        let first_byte = UsageRow::new(line.clone()).first_byte_ms;
        vec![
            name,
            counts.plays.to_string(),
            output::size(counts.viewer_bytes),
            counts.hits.to_string(),
            counts.cold_fetches.to_string(),
            output::size(counts.source_bytes),
            counts.aborted_plays.to_string(),
            first_byte.map_or_else(|| "-".to_owned(), |millis| format!("{millis:.1} ms")),
        ]
    };
    let mut rows: Vec<_> = lines.iter().map(|line| row(named(line), line)).collect();
    rows.push(row("total".to_owned(), total));
    rows
}

fn print(by: UsageGroup, lines: &[UsageLine], total: &UsageLine) {
    let heading = by.as_str().to_uppercase();
    let headings: Vec<&str> = std::iter::once(heading.as_str()).chain(HEADINGS).collect();
    output::table(&headings, &rows(lines, total));
}

fn page_of(by: UsageGroup, filter: &UsageFilter, lines: &[UsageLine], total: &UsageLine) -> Page {
    let stacked = Stacked { series: vec![(String::new(), lines.to_vec())] };
    Page {
        title: format!("Usage by {}", by.as_str()),
        charts: report_charts::usage(by, &stacked, filter.from.zip(filter.to)),
        headings: std::iter::once(by.as_str().to_uppercase()).chain(HEADINGS.map(str::to_owned)).collect(),
        rows: rows(lines, total),
    }
}
