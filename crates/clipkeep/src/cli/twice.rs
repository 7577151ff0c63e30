//! `clipkeep find --twice`: what was generated more than once.

use std::process::ExitCode;

use clipkeep_core::id::Tenant;
use serde_json::json;

use super::output;
use crate::{
    catalog::{Catalog, sharing::Repeat},
    web::RepeatRow,
};

/// How many are asked for at once.
const PAGE: u32 = 100;

pub(super) async fn run(
    catalog: &dyn Catalog,
    tenant: Option<&Tenant>,
    limit: u32,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let (mut repeats, mut after) = (Vec::new(), None);
    while repeats.len() < limit as usize {
        let page = catalog.repeats(tenant, after.as_ref(), PAGE).await?;
        repeats.extend(page.repeats);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    repeats.truncate(limit as usize);
    let code = if repeats.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if as_json {
        let rows: Vec<RepeatRow> = repeats.into_iter().map(RepeatRow::from).collect();
        output::json(&json!({"repeats": rows}))?;
    } else if repeats.is_empty() {
        output::line("nothing was generated twice");
    } else {
        print(&repeats);
    }
    Ok(code)
}

fn print(repeats: &[Repeat]) {
    let row = |repeat: &Repeat| {
        let first = repeat.examples.first();
        let dash = || "-".to_owned();
        vec![
            repeat.clips.to_string(),
            repeat.objects.to_string(),
            output::size(repeat.size),
            output::size(repeat.saved()),
            repeat.tenant.as_ref().map_or_else(dash, ToString::to_string),
            repeat.newest_at.to_string(),
            first.map_or_else(dash, |clip| clip.key.to_string()),
            first.and_then(|clip| clip.model.clone()).unwrap_or_else(dash),
            first.and_then(|clip| clip.prompt.as_deref()).map_or_else(dash, |prompt| output::shorten(prompt, 60)),
        ]
    };
    let rows: Vec<Vec<String>> = repeats.iter().map(row).collect();
    output::table(&["CLIPS", "OBJECTS", "SIZE", "SAVED", "TENANT", "NEWEST", "FOR EXAMPLE", "MODEL", "PROMPT"], &rows);
}
