//! The schema's versions. Files are never edited once released; a change is a
//! new pair of twins with the next number.

/// One step of the schema.
#[derive(Debug)]
pub(crate) struct Migration {
    /// Its number: they run in this order.
    pub(crate) version: i64,
    pub(crate) sql: &'static str,
}

pub(crate) const SQLITE: &[Migration] = &[
    Migration { version: 1, sql: include_str!("../../migrations/sqlite/0001_init.sql") },
    Migration { version: 2, sql: include_str!("../../migrations/sqlite/0002_outbox.sql") },
    Migration { version: 3, sql: include_str!("../../migrations/sqlite/0003_polls.sql") },
    Migration { version: 4, sql: include_str!("../../migrations/sqlite/0004_upkeep.sql") },
    Migration { version: 5, sql: include_str!("../../migrations/sqlite/0005_history.sql") },
    Migration { version: 6, sql: include_str!("../../migrations/sqlite/0006_provenance.sql") },
    Migration { version: 7, sql: include_str!("../../migrations/sqlite/0007_sharing.sql") },
    Migration { version: 8, sql: include_str!("../../migrations/sqlite/0008_tokens.sql") },
    Migration { version: 9, sql: include_str!("../../migrations/sqlite/0009_submissions.sql") },
    Migration { version: 10, sql: include_str!("../../migrations/sqlite/0010_usage.sql") },
    Migration { version: 11, sql: include_str!("../../migrations/sqlite/0011_links.sql") },
    Migration { version: 12, sql: include_str!("../../migrations/sqlite/0012_costs.sql") },
    Migration { version: 14, sql: include_str!("../../migrations/sqlite/0014_budgets.sql") },
    Migration { version: 15, sql: include_str!("../../migrations/sqlite/0015_stays.sql") },
    Migration { version: 16, sql: include_str!("../../migrations/sqlite/0016_revokers.sql") },
    Migration { version: 17, sql: include_str!("../../migrations/sqlite/0017_names.sql") },
    Migration { version: 18, sql: include_str!("../../migrations/sqlite/0018_payload.sql") },
    Migration { version: 19, sql: include_str!("../../migrations/sqlite/0019_back.sql") },
    Migration { version: 20, sql: include_str!("../../migrations/sqlite/0020_custody.sql") },
    Migration { version: 22, sql: include_str!("../../migrations/sqlite/0022_c2pa.sql") },
    Migration { version: 23, sql: include_str!("../../migrations/sqlite/0023_renamed.sql") },
    Migration { version: 24, sql: include_str!("../../migrations/sqlite/0024_claims.sql") },
    Migration { version: 25, sql: include_str!("../../migrations/sqlite/0025_weighed.sql") },
    Migration { version: 26, sql: include_str!("../../migrations/sqlite/0026_face.sql") },
    Migration { version: 27, sql: include_str!("../../migrations/sqlite/0027_terms.sql") },
];

pub(crate) const POSTGRES: &[Migration] = &[
    Migration { version: 1, sql: include_str!("../../migrations/postgres/0001_init.sql") },
    Migration { version: 2, sql: include_str!("../../migrations/postgres/0002_outbox.sql") },
    Migration { version: 3, sql: include_str!("../../migrations/postgres/0003_polls.sql") },
    Migration { version: 4, sql: include_str!("../../migrations/postgres/0004_upkeep.sql") },
    Migration { version: 5, sql: include_str!("../../migrations/postgres/0005_history.sql") },
    Migration { version: 6, sql: include_str!("../../migrations/postgres/0006_provenance.sql") },
    Migration { version: 7, sql: include_str!("../../migrations/postgres/0007_sharing.sql") },
    Migration { version: 8, sql: include_str!("../../migrations/postgres/0008_tokens.sql") },
    Migration { version: 9, sql: include_str!("../../migrations/postgres/0009_submissions.sql") },
    Migration { version: 10, sql: include_str!("../../migrations/postgres/0010_usage.sql") },
    Migration { version: 11, sql: include_str!("../../migrations/postgres/0011_links.sql") },
    Migration { version: 12, sql: include_str!("../../migrations/postgres/0012_costs.sql") },
    Migration { version: 14, sql: include_str!("../../migrations/postgres/0014_budgets.sql") },
    Migration { version: 15, sql: include_str!("../../migrations/postgres/0015_stays.sql") },
    Migration { version: 16, sql: include_str!("../../migrations/postgres/0016_revokers.sql") },
    Migration { version: 17, sql: include_str!("../../migrations/postgres/0017_names.sql") },
    Migration { version: 18, sql: include_str!("../../migrations/postgres/0018_payload.sql") },
    Migration { version: 19, sql: include_str!("../../migrations/postgres/0019_back.sql") },
    Migration { version: 20, sql: include_str!("../../migrations/postgres/0020_custody.sql") },
    Migration { version: 22, sql: include_str!("../../migrations/postgres/0022_c2pa.sql") },
    Migration { version: 23, sql: include_str!("../../migrations/postgres/0023_renamed.sql") },
    Migration { version: 24, sql: include_str!("../../migrations/postgres/0024_claims.sql") },
    Migration { version: 25, sql: include_str!("../../migrations/postgres/0025_weighed.sql") },
    Migration { version: 26, sql: include_str!("../../migrations/postgres/0026_face.sql") },
    Migration { version: 27, sql: include_str!("../../migrations/postgres/0027_terms.sql") },
];

/// The database was made by a newer clipkeep; this one must not touch it.
#[derive(Debug, thiserror::Error)]
#[error("the database has schema version {found}, this clipkeep knows up to {known}; hint: run the newer clipkeep")]
pub struct TooNew {
    pub found: i64,
    /// The newest version this program knows.
    pub known: i64,
}

/// The steps a database at version `applied` (0 if empty) still lacks.
pub(crate) fn pending(all: &'static [Migration], applied: i64) -> Result<&'static [Migration], TooNew> {
    let known = all.last().map_or(0, |last| last.version);
    if applied > known {
        return Err(TooNew { found: applied, known });
    }
    let done = all.partition_point(|migration| migration.version <= applied);
    Ok(&all[done..])
}
