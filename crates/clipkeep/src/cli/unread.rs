//! `clipkeep find --unreadable`: results that were not understood.

use std::process::ExitCode;

use anyhow::Context;
use clipkeep_core::id::{RequestId, Tenant};
use serde_json::json;

use super::output;
use crate::{catalog::Catalog, dto::UnreadInfo};

pub(super) async fn run(
    catalog: &dyn Catalog,
    what: Option<&str>,
    tenant: Option<&Tenant>,
    limit: u32,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    if let Some(what) = what {
        return one(catalog, what, as_json).await;
    }
    let mut found = catalog.unreads(tenant, None, limit + 1).await?;
    let is_cut = found.len() > limit as usize;
    found.truncate(limit as usize);
    let code = if found.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if as_json {
        let rows: Vec<_> = found.iter().map(|row| UnreadInfo::new(row.clone(), None)).collect();
        let mut found = json!({"unreadable": rows});
        if is_cut {
            found["is_cut"] = true.into();
        }
        output::json(&found)?;
    } else if found.is_empty() {
        output::line("all results were understood");
    } else {
        let row = |row: &crate::catalog::unreads::UnreadRow| {
            vec![
                row.request_id.to_string(),
                row.provider.to_string(),
                row.model.clone().unwrap_or_else(|| "-".to_owned()),
                output::size(row.len),
                row.at.to_string(),
                output::shorten(&row.why, 80),
            ]
        };
        let rows: Vec<_> = found.iter().map(row).collect();
        output::table(&["REQUEST ID", "PROVIDER", "MODEL", "SIZE", "CAME", "WHY"], &rows);
        if is_cut {
            output::note(format!("there are more than these {}: see --limit", found.len()));
        }
    }
    Ok(code)
}

/// One result, as it came.
async fn one(catalog: &dyn Catalog, what: &str, as_json: bool) -> anyhow::Result<ExitCode> {
    let request_id: RequestId = what.parse().context("this is no request id")?;
    let generation = catalog.generation(&request_id).await?;
    let provider = generation.map(|generation| generation.provider);
    let found = match &provider {
        Some(provider) => catalog.unread(provider, &request_id).await?,
        None => None,
    };
    let Some((row, payload)) = found else {
        output::line(format!("nothing is kept unread of {what}"));
        return Ok(ExitCode::FAILURE);
    };
    let info = UnreadInfo::new(row, payload.as_deref());
    match (as_json, &info.payload) {
        (true, _) => output::json(&info)?,
        (false, Some(payload)) => output::line(payload),
        (false, None) => output::line(format!("what it was is erased; it was not understood: {}", info.why)),
    }
    Ok(ExitCode::SUCCESS)
}
