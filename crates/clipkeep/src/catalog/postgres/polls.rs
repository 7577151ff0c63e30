//! Asking for generations.

use async_trait::async_trait;
use clipkeep_core::time::Timestamp;
use deadpool_postgres::GenericClient;

use super::{
    super::{
        Fault, Result,
        merge::without_nul,
        page,
        polls::{Poll, Polls},
        row::{self, generation_columns},
    },
    PostgresCatalog,
    find::{all, first},
    pool::on,
};

/// Claims generations to ask for, longest due first.
pub const CLAIM: &str = concat!(
    "WITH due AS (SELECT provider, request_id FROM generations WHERE poll_at <= $1 ORDER BY poll_at LIMIT $3 \
     FOR NO KEY UPDATE SKIP LOCKED), held AS (UPDATE generations g SET poll_at = $2, polls = g.polls + 1 FROM due \
     WHERE g.request_id = due.request_id AND g.provider = due.provider RETURNING g.*) SELECT ",
    generation_columns!(),
    ", polls, poll_misses, poll_error, (SELECT count(*) FROM key_owners n WHERE n.request_id = held.request_id \
     AND n.provider = held.provider) AS named FROM held ORDER BY created_at"
);

/// Counts what cannot be asked for. Whose clip is awaited in our own store
/// need not be.
pub const UNASKED: &str = "SELECT count(*) AS unasked FROM generations g \
    WHERE poll_at IS NULL AND status IN ('pending', 'result_missing') AND (SELECT count(*) FROM clips c \
    WHERE c.request_id = g.request_id AND c.provider = g.provider AND c.source_url LIKE 'store:%') = 0";

#[async_trait]
impl Polls for PostgresCatalog {
    async fn claim_polls(&self, now: Timestamp, hold: Timestamp, limit: u32) -> Result<Vec<Poll>> {
        let limit = i64::from(page::size(limit));
        let claim = async |client| all(&client, CLAIM, &[&now.millis(), &hold.millis(), &limit], row::poll).await;
        on(&self.pool, "claiming polls", claim).await
    }

    async fn poll_later(&self, poll: &Poll, due: Timestamp, fault: Option<Fault>, why: Option<&str>) -> Result<()> {
        let later = async |client| later(&client, poll, due, fault, why).await;
        on(&self.pool, "putting a poll off", later).await
    }

    async fn count_unasked(&self) -> Result<u64> {
        let count = async |client| first(&client, UNASKED, &[], |row| Ok(row.try_get::<_, i64>("unasked")?)).await;
        Ok(on(&self.pool, "counting generations", count).await?.unwrap_or_default().cast_unsigned())
    }
}

async fn later(
    client: &impl GenericClient,
    poll: &Poll,
    due: Timestamp,
    fault: Option<Fault>,
    why: Option<&str>,
) -> Result<()> {
    const SQL: &str = "UPDATE generations SET poll_at = $4, poll_misses = poll_misses + $5, poll_error = $6 \
        WHERE provider = $1 AND request_id = $2 AND polls = $3 AND poll_at IS NOT NULL";
    let (provider, request_id) = (poll.generation.provider.as_str(), poll.generation.request_id.as_str());
    let misses = i64::from(fault == Some(Fault::Source));
    let statement = client.prepare_cached(SQL).await?;
    let why = why.map(without_nul);
    client.execute(&statement, &[&provider, &request_id, &i64::from(poll.polls), &due.millis(), &misses, &why]).await?;
    Ok(())
}
