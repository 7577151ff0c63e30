//! API tokens.

use async_trait::async_trait;
use clipkeep_core::{time::Timestamp, token::TokenInfo};
use rusqlite::Connection;

use super::{
    super::{Result, page, row, tokens::Tokens},
    SqliteCatalog,
    find::{all, first},
};

#[async_trait]
impl Tokens for SqliteCatalog {
    async fn create_token(&self, token: &TokenInfo, hash: &str) -> Result<()> {
        const SQL: &str = "INSERT INTO tokens (id, hash, name, tenant, created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
        let (token, hash) = (token.clone(), hash.to_owned());
        let create = move |tx: &Connection| {
            let tenant = token.tenant.as_ref().map(|tenant| tenant.as_str());
            tx.prepare_cached(SQL)?.execute((&token.id, &hash, &token.name, tenant, token.created_at.millis()))?;
            Ok(())
        };
        self.writer.write("keeping a token", create).await
    }

    async fn token(&self, hash: &str) -> Result<Option<TokenInfo>> {
        const SQL: &str = "SELECT id, name, tenant, created_at, last_used_at, revoked_at FROM tokens WHERE hash = ?1 AND revoked_at IS NULL";
        let hash = hash.to_owned();
        let look = move |db: &Connection| first(db, SQL, [hash.as_str()], |row| row::token(row));
        self.readers.read("looking a token up", look).await
    }

    async fn tokens(&self, after: Option<&str>, limit: u32) -> Result<Vec<TokenInfo>> {
        const SQL: &str = "SELECT id, name, tenant, created_at, last_used_at, revoked_at FROM tokens \
            WHERE ?1 IS NULL OR (created_at, id) < (SELECT created_at, id FROM tokens WHERE id = ?1) \
            ORDER BY created_at DESC, id DESC LIMIT ?2";
        let params = (after.map(str::to_owned), page::size(limit));
        self.readers.read("listing tokens", move |db| all(db, SQL, params, |row| row::token(row))).await
    }

    async fn revoke_token(&self, id: &str, at: Timestamp) -> Result<bool> {
        const SQL: &str = "UPDATE tokens SET revoked_at = ifnull(revoked_at, ?2) WHERE id = ?1";
        let id = id.to_owned();
        let revoke = move |tx: &Connection| Ok(tx.prepare_cached(SQL)?.execute((&id, at.millis()))? > 0);
        self.writer.write("revoking a token", revoke).await
    }

    async fn token_used(&self, id: &str, at: Timestamp) -> Result<()> {
        const SQL: &str = "UPDATE tokens SET last_used_at = max(ifnull(last_used_at, ?2), ?2) WHERE id = ?1";
        let id = id.to_owned();
        let note = move |tx: &Connection| Ok(tx.prepare_cached(SQL)?.execute((&id, at.millis())).map(drop)?);
        self.writer.write_unsynced("noting a token's use", note).await
    }
}
