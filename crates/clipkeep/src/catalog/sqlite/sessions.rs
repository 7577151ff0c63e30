//! Sessions of the console.

use async_trait::async_trait;
use clipkeep_core::time::Timestamp;
use rusqlite::Connection;

use super::{
    super::{
        Result,
        sessions::{self, Session, Sessions},
    },
    SqliteCatalog,
    find::first,
};

#[async_trait]
impl Sessions for SqliteCatalog {
    async fn begin_session(&self, session: &Session, now: Timestamp) -> Result<()> {
        const CLEAR: &str = "DELETE FROM sessions WHERE expires_at <= ?1";
        const SQL: &str = "INSERT INTO sessions (hash, token_hash, expires_at) VALUES (?1, ?2, ?3)";
        let Session { hash, token_hash, expires_at } = session.clone();
        let begin = move |tx: &Connection| {
            tx.prepare_cached(CLEAR)?.execute([now.millis()])?;
            tx.prepare_cached(SQL)?.execute((&hash, &token_hash, expires_at.millis()))?;
            Ok(())
        };
        self.writer.write("beginning a session", begin).await
    }

    async fn session(&self, hash: &str, now: Timestamp) -> Result<Option<Session>> {
        const SQL: &str = "SELECT hash, token_hash, expires_at FROM sessions WHERE hash = ?1 AND expires_at > ?2";
        let hash = hash.to_owned();
        let look = move |db: &Connection| first(db, SQL, (hash.as_str(), now.millis()), |row| sessions::read(row));
        self.readers.read("looking a session up", look).await
    }

    async fn end_session(&self, hash: &str) -> Result<()> {
        const SQL: &str = "DELETE FROM sessions WHERE hash = ?1";
        let hash = hash.to_owned();
        let end = move |tx: &Connection| Ok(tx.prepare_cached(SQL)?.execute([&hash]).map(drop)?);
        self.writer.write("ending a session", end).await
    }
}
