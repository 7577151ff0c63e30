//! Lookups for whoever goes through many clips.

use async_trait::async_trait;
use clipkeep_core::id::{ClipKey, RequestId};
use rusqlite::Connection;

use super::{
    super::{
        Holder, Lookup, Outline, Result,
        row::{self, select_outlines},
    },
    SqliteCatalog,
    find::{all, first},
};

#[async_trait]
impl Lookup for SqliteCatalog {
    async fn outlines(&self, request_ids: &[RequestId]) -> Result<Vec<Outline>> {
        let ids = request_ids.to_vec();
        self.readers.read("looking clips up", move |db| outlines(db, &ids)).await
    }

    async fn holder(&self, key: &ClipKey) -> Result<Option<Holder>> {
        const SQL: &str = "SELECT key, lease_node, lease_until FROM clips WHERE key = ?1";
        let key = key.clone();
        let look = move |db: &Connection| first(db, SQL, [key.as_str()], |row| row::holder(row));
        Ok(self.readers.read("asking who fills a clip", look).await?.flatten())
    }
}

fn outlines(db: &Connection, ids: &[RequestId]) -> Result<Vec<Outline>> {
    const SQL: &str = select_outlines!("WHERE request_id = ?1");
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(all(db, SQL, [id.as_str()], |row| row::outline(row))?);
    }
    Ok(found)
}
