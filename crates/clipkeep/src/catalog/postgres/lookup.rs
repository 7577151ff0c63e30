//! Lookups for whoever goes through many clips.

use async_trait::async_trait;
use clipkeep_core::id::{ClipKey, RequestId};

use super::{
    super::{
        ClipSummary, LeaseHolder, Lookup, Result,
        row::{self, select_clip_summaries},
    },
    PostgresCatalog,
    find::{all, first},
    pool::on,
};

#[async_trait]
impl Lookup for PostgresCatalog {
    async fn clip_summaries(&self, request_ids: &[RequestId]) -> Result<Vec<ClipSummary>> {
        const SQL: &str = select_clip_summaries!("WHERE request_id = ANY($1::text[])");
        let ids: Vec<&str> = request_ids.iter().map(RequestId::as_str).collect();
        let look = async |client| all(&client, SQL, &[&ids], row::clip_summary).await;
        on(&self.pool, "looking clips up", look).await
    }

    async fn lease_holder(&self, key: &ClipKey) -> Result<Option<LeaseHolder>> {
        const SQL: &str = "SELECT key, lease_node, lease_until FROM clips WHERE key = $1";
        let look = async |client| first(&client, SQL, &[&key.as_str()], row::lease_holder).await;
        Ok(on(&self.pool, "asking who fills a clip", look).await?.flatten())
    }
}
