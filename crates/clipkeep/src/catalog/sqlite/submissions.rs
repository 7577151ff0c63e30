//! Submits that bear an idempotency key.

use async_trait::async_trait;
use clipkeep_core::generation::Generation;
use rusqlite::Connection;

use super::{
    super::{
        Registration, Result, row,
        submissions::{Begun, Submissions, SubmitCall},
    },
    SqliteCatalog,
    find::first,
    record,
};

fn begin(tx: &Connection, call: &SubmitCall) -> Result<Begun> {
    const TAKE: &str =
        "INSERT INTO submissions (caller, key, request, begun_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    const LOOK: &str =
        "SELECT key, request, begun_at, provider, request_id FROM submissions WHERE caller = ?1 AND key = ?2";
    let SubmitCall { caller, key, request, at } = call;
    if tx.prepare_cached(TAKE)?.execute((caller, key, request, at.millis()))? > 0 {
        return Ok(Begun::New);
    }
    Ok(first(tx, LOOK, [caller, key], |row| row::begun(row, request))?.unwrap_or(Begun::New))
}

fn finish(tx: &Connection, call: &SubmitCall, registration: &Registration) -> Result<()> {
    const SQL: &str = "UPDATE submissions SET provider = ?3, request_id = ?4 WHERE caller = ?1 AND key = ?2";
    let (provider, request_id) = (registration.provider.as_str(), registration.request_id.as_str());
    tx.prepare_cached(SQL)?.execute((&call.caller, &call.key, provider, request_id))?;
    Ok(())
}

fn forget(tx: &Connection, call: &SubmitCall) -> Result<()> {
    const SQL: &str = "DELETE FROM submissions WHERE caller = ?1 AND key = ?2 AND request_id IS NULL";
    tx.prepare_cached(SQL)?.execute((&call.caller, &call.key))?;
    Ok(())
}

#[async_trait]
impl Submissions for SqliteCatalog {
    async fn begin_submit(&self, call: &SubmitCall) -> Result<Begun> {
        let call = call.clone();
        self.writer.write("beginning a submit", move |tx| begin(tx, &call)).await
    }

    async fn finish_submit(&self, call: &SubmitCall, registration: &Registration) -> Result<Generation> {
        let (call, registration, rules) = (call.clone(), registration.clone(), self.rules.clone());
        let finish = move |tx: &Connection| {
            finish(tx, &call, &registration)?;
            record::register(tx, &rules, &registration)
        };
        self.writer.write("registering a submit", finish).await
    }

    async fn forget_submit(&self, call: &SubmitCall) -> Result<()> {
        let call = call.clone();
        self.writer.write("forgetting a submit", move |tx| forget(tx, &call)).await
    }
}
