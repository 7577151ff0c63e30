-- Times are Unix milliseconds. Twin of ../postgres/0001_init.sql.

CREATE TABLE generations (
    provider     TEXT NOT NULL,
    request_id   TEXT NOT NULL,
    status       TEXT NOT NULL,
    model        TEXT,
    prompt       TEXT,
    prompt_hash  TEXT,
    tenant       TEXT,
    policy       TEXT,
    input        TEXT,
    seed         INTEGER,
    public       INTEGER CHECK (public IN (0, 1)),
    error        TEXT,
    created_at   INTEGER NOT NULL,
    completed_at INTEGER,
    PRIMARY KEY (request_id, provider)
) STRICT;

-- A clip that is waiting or filling is its own queue entry: `queue_at` is when
-- it can be picked (when due, or when its lease runs out); `queued` says that
-- this time was seen to have come. Picking stays a short index scan whatever the
-- backlog: the upcoming lie by time, the queued by urgency.
CREATE TABLE clips (
    key                 TEXT PRIMARY KEY NOT NULL,
    provider            TEXT NOT NULL,
    request_id          TEXT NOT NULL,
    idx                 INTEGER NOT NULL,
    slot                TEXT NOT NULL,
    source_url          TEXT NOT NULL,
    source_expires_at   INTEGER,
    kind                TEXT NOT NULL,
    content_type        TEXT NOT NULL,
    state               TEXT NOT NULL,
    policy              TEXT NOT NULL,
    model               TEXT,
    prompt_hash         TEXT,
    tenant              TEXT,
    epoch               INTEGER NOT NULL,
    created_at          INTEGER NOT NULL,
    due_at              INTEGER,
    queue_at            INTEGER,
    queued              INTEGER NOT NULL CHECK (queued IN (0, 1)),
    lease_node          TEXT,
    lease_until         INTEGER,
    fence               INTEGER NOT NULL,
    attempts            INTEGER NOT NULL,
    misses              INTEGER NOT NULL DEFAULT 0,
    last_error          TEXT,
    stored_at           INTEGER,
    size                INTEGER,
    sha256              TEXT,
    sealed_kind         TEXT,
    sealed_content_type TEXT,
    duration            REAL,
    width               INTEGER,
    height              INTEGER,
    fps                 REAL,
    codec               TEXT,
    view                TEXT,
    version             TEXT,
    FOREIGN KEY (request_id, provider) REFERENCES generations (request_id, provider),
    CONSTRAINT stored_is_sealed CHECK (state <> 'stored' OR (sha256 IS NOT NULL AND stored_at IS NOT NULL)),
    CONSTRAINT queued_is_open CHECK (state IN ('waiting', 'filling') OR (queue_at IS NULL AND queued = 0)),
    CONSTRAINT filling_is_leased CHECK ((state = 'filling') = (lease_until IS NOT NULL))
) STRICT;

CREATE INDEX clips_request_id ON clips (request_id, created_at, key);
CREATE INDEX clips_prompt_hash ON clips (prompt_hash, created_at, key) WHERE prompt_hash IS NOT NULL;
CREATE INDEX clips_model ON clips (model, created_at, key) WHERE model IS NOT NULL;
CREATE INDEX clips_tenant ON clips (tenant, created_at, key) WHERE tenant IS NOT NULL;
CREATE INDEX clips_state ON clips (state, created_at, key);
CREATE INDEX clips_created_at ON clips (created_at, key);
CREATE INDEX clips_upcoming ON clips (queue_at) WHERE queue_at IS NOT NULL AND queued = 0;
CREATE INDEX clips_queued ON clips (ifnull(source_expires_at, 9223372036854775807), due_at, key) WHERE queued = 1;

-- `id` counts a clip's own lines.
CREATE TABLE history (
    key    TEXT NOT NULL,
    id     INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    event  TEXT NOT NULL,
    detail TEXT,
    PRIMARY KEY (key, id)
) STRICT, WITHOUT ROWID;

-- What the world is told, written in the transaction that makes it true.
-- There is one writer, so `id` alone is their order; `tx` is its twin's.
CREATE TABLE events (
    tx         INTEGER NOT NULL DEFAULT 0,
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    type       TEXT NOT NULL,
    provider   TEXT NOT NULL,
    request_id TEXT NOT NULL,
    key        TEXT,
    detail     TEXT,
    UNIQUE (tx, id)
) STRICT;
