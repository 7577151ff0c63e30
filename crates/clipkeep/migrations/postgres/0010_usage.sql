-- What was delivered: a row per hour, clip and tenant, to which each node adds.
-- `hour` is when it began, in Unix milliseconds. Nobody's tenant is ''.
-- Twin of ../sqlite/0010_usage.sql.

CREATE TABLE usage (
    hour              BIGINT NOT NULL,
    key               TEXT COLLATE "C" NOT NULL,
    tenant            TEXT COLLATE "C" NOT NULL,
    plays             BIGINT NOT NULL,
    viewer_bytes      BIGINT NOT NULL,
    hits              BIGINT NOT NULL,
    cold_fetches      BIGINT NOT NULL,
    source_bytes      BIGINT NOT NULL,
    aborted_plays     BIGINT NOT NULL,
    first_byte_micros BIGINT NOT NULL,
    first_bytes       BIGINT NOT NULL,
    PRIMARY KEY (hour, key, tenant)
);

CREATE INDEX usage_key ON usage (key, hour);
CREATE INDEX usage_tenant ON usage (tenant, hour);

-- The last batch that each process wrote, so that none is written twice.
CREATE TABLE usage_batches (
    node TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    seq  BIGINT NOT NULL,
    at   BIGINT NOT NULL
);
