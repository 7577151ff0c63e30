//! Lineage.

use async_trait::async_trait;
use clipkeep_core::{
    generation::Clip,
    id::{ClipKey, Tenant},
};

use super::{
    super::{
        Relatives, Result, page,
        row::{self, clip_columns},
    },
    PostgresCatalog,
    find::all,
    pool::on,
};

/// Finds the known parents of a clip.
pub const PARENTS: &str = concat!(
    "SELECT ",
    clip_columns!(),
    " FROM clips k JOIN parents p ON p.request_id = k.request_id AND p.provider = k.provider \
    JOIN clips c ON c.key = p.parent JOIN generations g ON g.provider = c.provider AND g.request_id = c.request_id \
    WHERE k.key = $1 AND ($2::text IS NULL OR c.tenant = $2) ORDER BY p.parent LIMIT $3"
);

/// Finds the children of a clip.
pub const CHILDREN: &str = concat!(
    "SELECT ",
    clip_columns!(),
    " FROM parents p JOIN clips c ON c.request_id = p.request_id AND c.provider = p.provider \
    JOIN generations g ON g.provider = c.provider AND g.request_id = c.request_id \
    WHERE p.parent = $1 AND ($2::text IS NULL OR c.tenant = $2) ORDER BY p.request_id, p.provider LIMIT $3"
);

impl PostgresCatalog {
    async fn relatives(&self, sql: &str, of: &ClipKey, tenant: Option<&Tenant>, limit: u32) -> Result<Vec<Clip>> {
        let (tenant, limit) = (tenant.map(Tenant::as_str), i64::from(page::size(limit)));
        let find = async |client| all(&client, sql, &[&of.as_str(), &tenant, &limit], row::clip).await;
        on(&self.pool, "following a lineage", find).await
    }
}

#[async_trait]
impl Relatives for PostgresCatalog {
    async fn parents(&self, of: &ClipKey, tenant: Option<&Tenant>, limit: u32) -> Result<Vec<Clip>> {
        self.relatives(PARENTS, of, tenant, limit).await
    }

    async fn children(&self, of: &ClipKey, tenant: Option<&Tenant>, limit: u32) -> Result<Vec<Clip>> {
        self.relatives(CHILDREN, of, tenant, limit).await
    }
}
