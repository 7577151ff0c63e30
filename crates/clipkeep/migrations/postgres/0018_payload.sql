-- Seeds of all 64 bits, and results that were not understood. Twin of ../sqlite/0018_payload.sql.

-- How far a seed is beyond 2^63 - 1, from 0; `seed` is 2^63 - 1 then. So the two
-- columns sort as seeds do.
ALTER TABLE generations ADD COLUMN
    seed_beyond BIGINT;
ALTER TABLE clips ADD COLUMN
    seed_beyond BIGINT;

-- What a provider said and was not understood, as it came: `payload` is all of it
-- if it has `len` bytes, and null once it was erased. A row goes when its
-- generation is understood, or failed.
CREATE TABLE unread (
    provider   TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    at         BIGINT NOT NULL,
    form       TEXT NOT NULL,
    why        TEXT NOT NULL,
    len        BIGINT NOT NULL,
    payload    BYTEA,
    PRIMARY KEY (request_id, provider)
);

CREATE INDEX unread_at ON unread (at, request_id, provider);

-- Clips whose bytes came as data, and are not under their own key yet.
CREATE INDEX clips_inline ON clips (key) WHERE substr(source_url, 1, 7) = 'inline:' AND state NOT IN ('stored', 'deleted');
