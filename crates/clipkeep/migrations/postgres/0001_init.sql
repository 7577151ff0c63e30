-- Times are Unix milliseconds. Names sort by bytes, as they do in SQLite.
-- Twin of ../sqlite/0001_init.sql.

CREATE TABLE generations (
    provider     TEXT COLLATE "C" NOT NULL,
    request_id   TEXT COLLATE "C" NOT NULL,
    status       TEXT NOT NULL,
    model        TEXT,
    prompt       TEXT,
    prompt_hash  TEXT,
    tenant       TEXT,
    policy       TEXT,
    input        TEXT,
    seed         BIGINT,
    public       BOOLEAN,
    error        TEXT,
    created_at   BIGINT NOT NULL,
    completed_at BIGINT,
    PRIMARY KEY (request_id, provider)
);

-- A clip that is waiting or filling is its own queue entry: `queue_at` is when
-- it can be picked (when due, or when its lease runs out); `queued` says that
-- this time was seen to have come. Picking stays a short index scan whatever the
-- backlog: the upcoming lie by time, the queued by urgency.
CREATE TABLE clips (
    key                 TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    provider            TEXT COLLATE "C" NOT NULL,
    request_id          TEXT COLLATE "C" NOT NULL,
    idx                 BIGINT NOT NULL,
    slot                TEXT NOT NULL,
    source_url          TEXT NOT NULL,
    source_expires_at   BIGINT,
    kind                TEXT NOT NULL,
    content_type        TEXT NOT NULL,
    state               TEXT NOT NULL,
    policy              TEXT NOT NULL,
    model               TEXT,
    prompt_hash         TEXT,
    tenant              TEXT,
    epoch               BIGINT NOT NULL,
    created_at          BIGINT NOT NULL,
    due_at              BIGINT,
    queue_at            BIGINT,
    queued              BOOLEAN NOT NULL,
    lease_node          TEXT,
    lease_until         BIGINT,
    fence               BIGINT NOT NULL,
    attempts            BIGINT NOT NULL,
    misses              BIGINT NOT NULL DEFAULT 0,
    last_error          TEXT,
    stored_at           BIGINT,
    size                BIGINT,
    sha256              TEXT,
    sealed_kind         TEXT,
    sealed_content_type TEXT,
    duration            DOUBLE PRECISION,
    width               BIGINT,
    height              BIGINT,
    fps                 DOUBLE PRECISION,
    codec               TEXT,
    view                TEXT,
    version             TEXT,
    FOREIGN KEY (request_id, provider) REFERENCES generations (request_id, provider),
    CONSTRAINT stored_is_sealed CHECK (state <> 'stored' OR (sha256 IS NOT NULL AND stored_at IS NOT NULL)),
    CONSTRAINT queued_is_open CHECK (state IN ('waiting', 'filling') OR (queue_at IS NULL AND NOT queued)),
    CONSTRAINT filling_is_leased CHECK ((state = 'filling') = (lease_until IS NOT NULL))
);

CREATE INDEX clips_request_id ON clips (request_id, created_at, key);
CREATE INDEX clips_prompt_hash ON clips (prompt_hash, created_at, key) WHERE prompt_hash IS NOT NULL;
CREATE INDEX clips_model ON clips (model, created_at, key) WHERE model IS NOT NULL;
CREATE INDEX clips_tenant ON clips (tenant, created_at, key) WHERE tenant IS NOT NULL;
CREATE INDEX clips_state ON clips (state, created_at, key);
CREATE INDEX clips_created_at ON clips (created_at, key);
CREATE INDEX clips_upcoming ON clips (queue_at) WHERE queue_at IS NOT NULL AND NOT queued;
CREATE INDEX clips_queued ON clips (source_expires_at, due_at, key) WHERE queued;

CREATE TABLE history (
    key    TEXT COLLATE "C" NOT NULL,
    id     BIGINT GENERATED ALWAYS AS IDENTITY,
    at     BIGINT NOT NULL,
    event  TEXT NOT NULL,
    detail TEXT,
    PRIMARY KEY (key, id)
);

-- What the world is told, written in the transaction that makes it true. `tx` is
-- that transaction: whoever reads up to the oldest one still open misses none.
CREATE TABLE events (
    tx         BIGINT NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    id         BIGINT GENERATED ALWAYS AS IDENTITY,
    at         BIGINT NOT NULL,
    type       TEXT NOT NULL,
    provider   TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    key        TEXT COLLATE "C",
    detail     TEXT,
    UNIQUE (tx, id)
);
