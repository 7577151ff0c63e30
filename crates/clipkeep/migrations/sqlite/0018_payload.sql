-- Seeds of all 64 bits, and results that were not understood. Twin of ../postgres/0018_payload.sql.

-- How far a seed is beyond 2^63 - 1, from 0; `seed` is 2^63 - 1 then. So the two
-- columns sort as seeds do.
ALTER TABLE generations ADD COLUMN
    seed_beyond INTEGER;
ALTER TABLE clips ADD COLUMN
    seed_beyond INTEGER;

-- What a provider said and was not understood, as it came: `payload` is all of it
-- if it has `len` bytes, and null once it was erased. A row goes when its
-- generation is understood, or failed.
CREATE TABLE unread (
    provider   TEXT NOT NULL,
    request_id TEXT NOT NULL,
    at         INTEGER NOT NULL,
    form       TEXT NOT NULL,
    why        TEXT NOT NULL,
    len        INTEGER NOT NULL,
    payload    BLOB,
    PRIMARY KEY (request_id, provider)
) STRICT, WITHOUT ROWID;

CREATE INDEX unread_at ON unread (at, request_id, provider);

-- Clips whose bytes came as data, and are not under their own key yet.
CREATE INDEX clips_inline ON clips (key) WHERE substr(source_url, 1, 7) = 'inline:' AND state NOT IN ('stored', 'deleted');
