//! `clipkeep find --duplicates`: what was generated more than once.

use std::process::ExitCode;

use clipkeep_core::id::Tenant;
use serde_json::json;

use super::output;
use crate::{
    catalog::{Catalog, sharing::DuplicateGroup},
    web::DuplicateRow,
};

/// How many are asked for at once.
const PAGE: u32 = 100;

pub(super) async fn run(
    catalog: &dyn Catalog,
    tenant: Option<&Tenant>,
    limit: u32,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let (mut duplicates, mut after) = (Vec::new(), None);
    while duplicates.len() < limit as usize {
        let page = catalog.duplicates(tenant, after.as_ref(), PAGE).await?;
        duplicates.extend(page.duplicates);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    duplicates.truncate(limit as usize);
    let code = if duplicates.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if as_json {
        let rows: Vec<DuplicateRow> = duplicates.into_iter().map(DuplicateRow::from).collect();
        output::json(&json!({"duplicates": rows}))?;
    } else if duplicates.is_empty() {
        output::line("nothing was generated more than once");
    } else {
        print(&duplicates);
    }
    Ok(code)
}

fn print(duplicates: &[DuplicateGroup]) {
    let row = |duplicate_group: &DuplicateGroup| {
        let first = duplicate_group.examples.first();
        let dash = || "-".to_owned();
        vec![
            duplicate_group.clips.to_string(),
            duplicate_group.objects.to_string(),
            output::size(duplicate_group.size),
            output::size(duplicate_group.saved()),
            duplicate_group.tenant.as_ref().map_or_else(dash, ToString::to_string),
            duplicate_group.newest_at.to_string(),
            first.map_or_else(dash, |clip| clip.key.to_string()),
            first.and_then(|clip| clip.model.clone()).unwrap_or_else(dash),
            first.and_then(|clip| clip.prompt.as_deref()).map_or_else(dash, |prompt| output::shorten(prompt, 60)),
        ]
    };
    let rows: Vec<Vec<String>> = duplicates.iter().map(row).collect();
    output::table(&["CLIPS", "OBJECTS", "SIZE", "SAVED", "TENANT", "NEWEST", "FOR EXAMPLE", "MODEL", "PROMPT"], &rows);
}
