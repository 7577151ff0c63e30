-- What was delivered: a row per hour, clip and tenant, to which each node adds.
-- `hour` is when it began, in Unix milliseconds. Nobody's tenant is ''.
-- Twin of ../postgres/0010_usage.sql.

CREATE TABLE usage (
    hour              INTEGER NOT NULL,
    key               TEXT NOT NULL,
    tenant            TEXT NOT NULL,
    plays             INTEGER NOT NULL,
    viewer_bytes      INTEGER NOT NULL,
    hits              INTEGER NOT NULL,
    cold_fetches      INTEGER NOT NULL,
    source_bytes      INTEGER NOT NULL,
    aborted_plays     INTEGER NOT NULL,
    first_byte_micros INTEGER NOT NULL,
    first_bytes       INTEGER NOT NULL,
    PRIMARY KEY (hour, key, tenant)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_key ON usage (key, hour);
CREATE INDEX usage_tenant ON usage (tenant, hour);

-- The last batch that each process wrote, so that none is written twice.
CREATE TABLE usage_batches (
    node TEXT PRIMARY KEY NOT NULL,
    seq  INTEGER NOT NULL,
    at   INTEGER NOT NULL
) STRICT;
