-- API tokens, by the SHA-256 of their text: a token itself is kept nowhere.
-- Without a tenant it is an admin's. Twin of ../postgres/0008_tokens.sql.

CREATE TABLE tokens (
    id         TEXT PRIMARY KEY NOT NULL,
    hash       TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    tenant     TEXT,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
