-- Submits that bore an idempotency key: what was asked for, by whom, and which
-- generation came of it. Without one its outcome is not known: it runs, or was
-- cut off. Times are Unix milliseconds. Twin of ../postgres/0009_submissions.sql.

CREATE TABLE submissions (
    caller     TEXT NOT NULL,
    key        TEXT NOT NULL,
    request    TEXT NOT NULL,
    begun_at   INTEGER NOT NULL,
    provider   TEXT,
    request_id TEXT,
    PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;
