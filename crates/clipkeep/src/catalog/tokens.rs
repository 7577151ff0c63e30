//! API tokens, by their hashes.

use async_trait::async_trait;
use clipkeep_core::{time::Timestamp, token::TokenInfo};

use super::Result;

/// Tokens. None of them is kept, only its hash.
#[async_trait]
pub trait Tokens {
    /// Keeps a new token under its hash.
    async fn create_token(&self, token: &TokenInfo, hash: &str) -> Result<()>;

    /// The token with this hash, if it was not revoked.
    async fn token(&self, hash: &str) -> Result<Option<TokenInfo>>;

    /// Tokens, newest first, revoked ones too; with `after`, those that come
    /// after the one with this id.
    async fn tokens(&self, after: Option<&str>, limit: u32) -> Result<Vec<TokenInfo>>;

    /// Revokes a token; one that was revoked before stays so since then.
    /// Answers whether there is one.
    async fn revoke_token(&self, id: &str, at: Timestamp) -> Result<bool>;

    async fn token_used(&self, id: &str, at: Timestamp) -> Result<()>;
}
