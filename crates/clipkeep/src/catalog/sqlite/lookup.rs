//! Lookups for whoever goes through many clips.

use async_trait::async_trait;
use clipkeep_core::id::{ClipKey, RequestId};
use rusqlite::Connection;

use super::{
    super::{
        ClipSummary, LeaseHolder, Lookup, Result,
        row::{self, select_clip_summaries},
    },
    SqliteCatalog,
    find::{all, first},
};

#[async_trait]
impl Lookup for SqliteCatalog {
    async fn clip_summaries(&self, request_ids: &[RequestId]) -> Result<Vec<ClipSummary>> {
        let ids = request_ids.to_vec();
        self.readers.read("looking clips up", move |db| clip_summaries(db, &ids)).await
    }

    async fn lease_holder(&self, key: &ClipKey) -> Result<Option<LeaseHolder>> {
        const SQL: &str = "SELECT key, lease_node, lease_until FROM clips WHERE key = ?1";
        let key = key.clone();
        let look = move |db: &Connection| first(db, SQL, [key.as_str()], |row| row::lease_holder(row));
        Ok(self.readers.read("asking who fills a clip", look).await?.flatten())
    }
}

fn clip_summaries(db: &Connection, ids: &[RequestId]) -> Result<Vec<ClipSummary>> {
    const SQL: &str = select_clip_summaries!("WHERE request_id = ?1");
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(all(db, SQL, [id.as_str()], |row| row::clip_summary(row))?);
    }
    Ok(found)
}
