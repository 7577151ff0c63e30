//! API tokens.

use async_trait::async_trait;
use clipkeep_core::{time::Timestamp, token::TokenInfo};

use super::{
    super::{Result, page, row, tokens::Tokens},
    PostgresCatalog,
    find::{all, first},
    pool::on,
};

#[async_trait]
impl Tokens for PostgresCatalog {
    async fn create_token(&self, token: &TokenInfo, hash: &str) -> Result<()> {
        const SQL: &str = "INSERT INTO tokens (id, hash, name, tenant, created_at) VALUES ($1, $2, $3, $4, $5)";
        let tenant = token.tenant.as_ref().map(|tenant| tenant.as_str());
        let create = async |client: deadpool_postgres::Object| {
            let statement = client.prepare_cached(SQL).await?;
            client
                .execute(&statement, &[&token.id, &hash, &token.name, &tenant, &token.created_at.millis()])
                .await
                .map(drop)
                .map_err(Into::into)
        };
        on(&self.pool, "keeping a token", create).await
    }

    async fn token(&self, hash: &str) -> Result<Option<TokenInfo>> {
        const SQL: &str = "SELECT id, name, tenant, created_at, last_used_at, revoked_at FROM tokens WHERE hash = $1 AND revoked_at IS NULL";
        on(&self.pool, "looking a token up", async |client| first(&client, SQL, &[&hash], row::token).await).await
    }

    async fn tokens(&self, after: Option<&str>, limit: u32) -> Result<Vec<TokenInfo>> {
        const SQL: &str = "SELECT id, name, tenant, created_at, last_used_at, revoked_at FROM tokens \
            WHERE $1::text IS NULL OR (created_at, id) < (SELECT created_at, id FROM tokens WHERE id = $1) \
            ORDER BY created_at DESC, id DESC LIMIT $2";
        let limit = i64::from(page::size(limit));
        on(&self.pool, "listing tokens", async |client| all(&client, SQL, &[&after, &limit], row::token).await).await
    }

    async fn revoke_token(&self, id: &str, at: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE tokens SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1";
        let revoke = async |client: deadpool_postgres::Object| {
            let statement = client.prepare_cached(SQL).await?;
            Ok(client.execute(&statement, &[&id, &at.millis()]).await? > 0)
        };
        on(&self.pool, "revoking a token", revoke).await
    }

    async fn token_used(&self, id: &str, at: Timestamp) -> Result<()> {
        const SQL: &str = "UPDATE tokens SET last_used_at = greatest(last_used_at, $2) WHERE id = $1";
        let note = async |client: deadpool_postgres::Object| {
            let statement = client.prepare_cached(SQL).await?;
            Ok(client.execute(&statement, &[&id, &at.millis()]).await.map(drop)?)
        };
        on(&self.pool, "noting a token's use", note).await
    }
}
