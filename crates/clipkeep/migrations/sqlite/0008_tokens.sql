-- API tokens, by the SHA-256 of their text: a token itself is kept nowhere.
-- Without a tenant it is an admin's. `last_used_at` is written now and then.
-- Twin of ../postgres/0008_tokens.sql.

CREATE TABLE tokens (
    id           TEXT PRIMARY KEY NOT NULL,
    hash         TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    tenant       TEXT,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_created_at ON tokens (created_at, id);

-- One tenant's clips at risk.
CREATE INDEX clips_tenant_at_risk ON clips (tenant, source_expires_at, key)
    WHERE state NOT IN ('stored', 'lost', 'rejected', 'deleted') AND source_expires_at IS NOT NULL AND tenant IS NOT NULL;
