//! Clips whose only copy is the provider's and whose time runs out: reported
//! before it does.

use serde::Serialize;

use super::Sweep;
use crate::catalog::CatalogError;

/// How many are reported in one transaction, and how many in one round.
const BATCH: u32 = 200;
const MAX_PER_ROUND: u64 = 10_000;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RiskReport {
    /// Clips that this round reported.
    pub reported: u64,
    /// Clips at risk, reported before or not.
    pub at_risk: u64,
}

/// Reports those that were not reported yet.
pub(super) async fn run(sweep: &Sweep, report: &mut RiskReport) -> Result<(), CatalogError> {
    let parts = &sweep.parts;
    let now = parts.clock.now();
    let until = now.plus(parts.settings.at_risk_before);
    while report.reported < MAX_PER_ROUND {
        let reported = parts.catalog.report_at_risk(now, until, BATCH).await?;
        if reported.is_empty() {
            break;
        }
        for clip in &reported {
            let expires = clip.source_expires_at.map(|at| at.to_string());
            tracing::warn!(clip = %clip.key, state = %clip.state, expires, "at risk: its source is about to vanish");
        }
        report.reported += reported.len() as u64;
    }
    report.at_risk = parts.catalog.count_at_risk(until).await?;
    parts.metrics.at_risk(report.at_risk);
    Ok(())
}
