//! Submits that bear an idempotency key.

use async_trait::async_trait;
use clipkeep_core::generation::Generation;

use super::{
    super::{
        Registration, Result, row,
        submissions::{Begun, Submissions, SubmitCall},
    },
    PostgresCatalog,
    find::first,
    pool::on,
    record,
};

#[async_trait]
impl Submissions for PostgresCatalog {
    async fn begin_submit(&self, call: &SubmitCall) -> Result<Begun> {
        const TAKE: &str = "INSERT INTO submissions (caller, key, request, begun_at) VALUES ($1, $2, $3, $4) \
            ON CONFLICT DO NOTHING";
        const LOOK: &str =
            "SELECT key, request, begun_at, provider, request_id FROM submissions WHERE caller = $1 AND key = $2";
        let SubmitCall { caller, key, request, at } = call;
        let begin = async |client: deadpool_postgres::Object| {
            let take = client.prepare_cached(TAKE).await?;
            // The call that had the key may forget it between the two.
            loop {
                if client.execute(&take, &[caller, key, request, &at.millis()]).await? > 0 {
                    return Ok(Begun::New);
                }
                if let Some(known) = first(&client, LOOK, &[caller, key], |row| row::begun(row, request)).await? {
                    return Ok(known);
                }
            }
        };
        on(&self.pool, "beginning a submit", begin).await
    }

    async fn finish_submit(&self, call: &SubmitCall, registration: &Registration) -> Result<Generation> {
        let finish = |client| record::register_submit(client, &self.rules, call, registration);
        on(&self.pool, "registering a submit", finish).await
    }

    async fn forget_submit(&self, call: &SubmitCall) -> Result<()> {
        const SQL: &str = "DELETE FROM submissions WHERE caller = $1 AND key = $2 AND request_id IS NULL";
        let forget = async |client: deadpool_postgres::Object| {
            let statement = client.prepare_cached(SQL).await?;
            client.execute(&statement, &[&call.caller, &call.key]).await?;
            Ok(())
        };
        on(&self.pool, "forgetting a submit", forget).await
    }
}
