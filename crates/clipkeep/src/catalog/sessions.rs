//! Who is logged in to the console. Kept in the catalogue, so that any node knows
//! a session, and a log-out ends it on all.

use async_trait::async_trait;
use clipkeep_core::time::Timestamp;

use super::{
    Result,
    cells::{Cells, Columns},
};

/// A session of the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The hash of its secret.
    pub hash: String,
    /// The hash of the token it was opened with. It ends with that.
    pub token_hash: String,
    pub expires_at: Timestamp,
}

/// Sessions, by the hashes of their secrets.
#[async_trait]
pub trait Sessions {
    /// Keeps a new session, and clears away those that are over at `now`.
    async fn begin_session(&self, session: &Session, now: Timestamp) -> Result<()>;

    /// The session with this hash, if it is not over at `now`.
    async fn session(&self, hash: &str, now: Timestamp) -> Result<Option<Session>>;

    async fn end_session(&self, hash: &str) -> Result<()>;
}

/// Reads `hash, token_hash, expires_at`.
pub(crate) fn read(row: &impl Columns) -> Result<Session> {
    let cells = Cells::of(row, "sessions", "hash")?;
    Ok(Session {
        hash: cells.key.clone(),
        token_hash: cells.must("token_hash", cells.text("token_hash"))?,
        expires_at: cells.must("expires_at", cells.time("expires_at"))?,
    })
}
