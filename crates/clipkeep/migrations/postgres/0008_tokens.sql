-- API tokens, by the SHA-256 of their text: a token itself is kept nowhere.
-- Without a tenant it is an admin's. `last_used_at` is written now and then.
-- Twin of ../sqlite/0008_tokens.sql.

CREATE TABLE tokens (
    id           TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    hash         TEXT COLLATE "C" NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    tenant       TEXT COLLATE "C",
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at   BIGINT
);

CREATE INDEX tokens_created_at ON tokens (created_at, id);

-- One tenant's clips at risk.
CREATE INDEX clips_tenant_at_risk ON clips (tenant, source_expires_at, key)
    WHERE state NOT IN ('stored', 'lost', 'rejected', 'deleted') AND source_expires_at IS NOT NULL AND tenant IS NOT NULL;
