//! Clips whose only copy is their source, and whose source's time runs out.

use async_trait::async_trait;
use clipkeep_core::{generation::Clip, id::Tenant, time::Timestamp};

use super::Result;

/// Open clips (`waiting` or `filling`) by when their source is expected to
/// vanish.
#[async_trait]
pub trait AtRisk {
    /// Tells the world of up to `limit` clips whose source vanishes before
    /// `until`, each once per source, soonest first; answers them.
    async fn report_at_risk(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Clip>>;

    /// Up to `limit` clips whose source vanishes before `until`, soonest first,
    /// told of or not.
    async fn at_risk(&self, until: Timestamp, limit: u32) -> Result<Vec<Clip>>;

    /// Up to `limit` clips that wait after an attempt that failed, newest first; of
    /// this tenant, or of all.
    async fn failing(&self, tenant: Option<&Tenant>, limit: u32) -> Result<Vec<Clip>>;

    /// How many there are whose source vanishes before `until`.
    async fn count_at_risk(&self, until: Timestamp) -> Result<u64>;
}
