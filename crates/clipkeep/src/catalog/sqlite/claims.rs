//! What tenants claim.

use clipkeep_core::{generation::Generation, id::Tenant, input::Input};
use rusqlite::{Connection, named_params};

use super::{
    super::{
        Result,
        claims::Claims,
        merge::GenerationId,
        row::{self, select_claims},
    },
    find::all,
};

/// Who claims a generation.
pub(super) fn of(tx: &Connection, (provider, request_id): &GenerationId) -> Result<Vec<Generation>> {
    const SQL: &str = select_claims!("WHERE request_id = ?1 AND provider = ?2");
    all(tx, SQL, [request_id.as_str(), provider.as_str()], |row| row::generation(row))
}

pub(super) fn write(tx: &Connection, claims: &Claims) -> Result<()> {
    const GONE: &str = "DELETE FROM claims WHERE request_id = ?1 AND provider = ?2 AND tenant = ?3";
    for ((provider, request_id), tenant) in &claims.confirmed {
        tx.prepare_cached(GONE)?.execute([request_id.as_str(), provider.as_str(), tenant.as_str()])?;
    }
    claims.new_claims().try_for_each(|claim| write_one(tx, claim))
}

fn write_one(tx: &Connection, row: &Generation) -> Result<()> {
    const SQL: &str = "INSERT OR REPLACE INTO claims (request_id, provider, tenant, model, prompt, prompt_hash, \
        policy, input, seed, seed_beyond, public, created_at) VALUES (:request_id, :provider, :tenant, :model, \
        :prompt, :prompt_hash, :policy, :input, :seed, :seed_beyond, :public, :created_at)";
    let facts = &row.facts;
    tx.prepare_cached(SQL)?.execute(named_params! {
        ":request_id": row.request_id.as_str(),
        ":provider": row.provider.as_str(),
        ":tenant": facts.tenant.as_ref().map(Tenant::as_str),
        ":model": facts.model,
        ":prompt": facts.prompt,
        ":prompt_hash": facts.prompt_hash,
        ":policy": facts.policy.map(|policy| policy.as_str()),
        ":input": facts.input.as_ref().map(Input::as_str),
        ":seed": facts.seed.map(|seed| seed.columns().0),
        ":seed_beyond": facts.seed.and_then(|seed| seed.columns().1),
        ":public": facts.public,
        ":created_at": row.created_at.millis(),
    })?;
    Ok(())
}
