-- Times are Unix milliseconds. Names sort by bytes, as they do in SQLite.
-- Twin of ../sqlite/0002_outbox.sql.

-- One row for each endpoint that apps are told at: up to which event it was
-- told, and which node tells it.
CREATE TABLE endpoints (
    endpoint    TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    tx          BIGINT NOT NULL,
    id          BIGINT NOT NULL,
    lease_node  TEXT,
    lease_until BIGINT NOT NULL,
    fence       BIGINT NOT NULL
);

-- The exceptions: events before the endpoint's place that it has not taken yet.
-- `next_at` is when to try again; none has it that waits behind an earlier
-- event of its subject, or that was given up (`parked`).
CREATE TABLE deliveries (
    endpoint   TEXT COLLATE "C" NOT NULL,
    tx         BIGINT NOT NULL,
    id         BIGINT NOT NULL,
    subject    TEXT COLLATE "C" NOT NULL,
    status     TEXT NOT NULL,
    attempts   BIGINT NOT NULL,
    first_at   BIGINT,
    next_at    BIGINT,
    last_error TEXT,
    PRIMARY KEY (endpoint, tx, id),
    CONSTRAINT parked_is_not_due CHECK (status = 'waiting' OR (status = 'parked' AND next_at IS NULL))
);

CREATE INDEX deliveries_subject ON deliveries (endpoint, subject, tx, id) WHERE status = 'waiting';
CREATE INDEX deliveries_due ON deliveries (endpoint, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX deliveries_parked ON deliveries (endpoint, tx, id) WHERE status = 'parked';
CREATE INDEX events_key ON events (key) WHERE key IS NOT NULL;
