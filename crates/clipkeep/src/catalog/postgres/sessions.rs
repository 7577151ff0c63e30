//! Sessions of the console.

use async_trait::async_trait;
use clipkeep_core::time::Timestamp;
use deadpool_postgres::Object;

use super::{
    super::{
        Result,
        sessions::{self, Session, Sessions},
    },
    PostgresCatalog,
    find::first,
    pool::on,
};

#[async_trait]
impl Sessions for PostgresCatalog {
    async fn begin_session(&self, session: &Session, now: Timestamp) -> Result<()> {
        const SQL: &str = "WITH over AS (DELETE FROM sessions WHERE expires_at <= $4) \
            INSERT INTO sessions (hash, token_hash, expires_at) VALUES ($1, $2, $3)";
        let Session { hash, token_hash, expires_at } = session;
        let begin = async |client: Object| {
            let statement = client.prepare_cached(SQL).await?;
            client.execute(&statement, &[hash, token_hash, &expires_at.millis(), &now.millis()]).await?;
            Ok(())
        };
        on(&self.pool, "beginning a session", begin).await
    }

    async fn session(&self, hash: &str, now: Timestamp) -> Result<Option<Session>> {
        const SQL: &str = "SELECT hash, token_hash, expires_at FROM sessions WHERE hash = $1 AND expires_at > $2";
        let look = async |client| first(&client, SQL, &[&hash, &now.millis()], sessions::read).await;
        on(&self.pool, "looking a session up", look).await
    }

    async fn end_session(&self, hash: &str) -> Result<()> {
        const SQL: &str = "DELETE FROM sessions WHERE hash = $1";
        let end = async |client: Object| {
            let statement = client.prepare_cached(SQL).await?;
            client.execute(&statement, &[&hash]).await?;
            Ok(())
        };
        on(&self.pool, "ending a session", end).await
    }
}
