-- Times are Unix milliseconds. Twin of ../postgres/0002_outbox.sql.

-- One row for each endpoint that apps are told at: up to which event it was
-- told, and which node tells it. `tx` is always 0 here, as in `events`.
CREATE TABLE endpoints (
    endpoint    TEXT PRIMARY KEY NOT NULL,
    tx          INTEGER NOT NULL,
    id          INTEGER NOT NULL,
    lease_node  TEXT,
    lease_until INTEGER NOT NULL,
    fence       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The exceptions: events before the endpoint's place that it has not taken yet.
-- `next_at` is when to try again; none has it that waits behind an earlier
-- event of its subject, or that was given up (`parked`).
CREATE TABLE deliveries (
    endpoint   TEXT NOT NULL,
    tx         INTEGER NOT NULL,
    id         INTEGER NOT NULL,
    subject    TEXT NOT NULL,
    status     TEXT NOT NULL,
    attempts   INTEGER NOT NULL,
    first_at   INTEGER,
    next_at    INTEGER,
    last_error TEXT,
    PRIMARY KEY (endpoint, tx, id),
    CONSTRAINT parked_is_not_due CHECK (status = 'waiting' OR (status = 'parked' AND next_at IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_subject ON deliveries (endpoint, subject, tx, id) WHERE status = 'waiting';
CREATE INDEX deliveries_due ON deliveries (endpoint, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX deliveries_parked ON deliveries (endpoint, tx, id) WHERE status = 'parked';
CREATE INDEX events_key ON events (key) WHERE key IS NOT NULL;
