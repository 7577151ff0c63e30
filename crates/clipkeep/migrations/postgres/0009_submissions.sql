-- Submits that bore an idempotency key: what was asked for, by whom, and which
-- generation came of it. Without one its outcome is not known: it runs, or was
-- cut off. Times are Unix milliseconds. Twin of ../sqlite/0009_submissions.sql.

CREATE TABLE submissions (
    caller     TEXT COLLATE "C" NOT NULL,
    key        TEXT COLLATE "C" NOT NULL,
    request    TEXT NOT NULL,
    begun_at   BIGINT NOT NULL,
    provider   TEXT,
    request_id TEXT,
    PRIMARY KEY (caller, key)
);
