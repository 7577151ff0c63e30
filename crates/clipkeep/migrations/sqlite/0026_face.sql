-- Posters, and who is logged in to the console. Twin of ../postgres/0026_face.sql.

-- Of which content epoch a poster was made, or found to be impossible, and its
-- placeholder, where there is one.
ALTER TABLE clips ADD COLUMN
    poster_epoch INTEGER;
ALTER TABLE clips ADD COLUMN
    thumbhash TEXT;
-- When somebody should try, if nobody did.
ALTER TABLE clips ADD COLUMN
    poster_due INTEGER;
UPDATE clips SET poster_due = 0 WHERE state = 'stored';
CREATE INDEX clips_poster_due ON clips (poster_due) WHERE state = 'stored' AND poster_due IS NOT NULL;

-- What the queue's page shows of what fails.
CREATE INDEX clips_failing ON clips (created_at, key)
    WHERE state NOT IN ('filling', 'stored', 'lost', 'rejected', 'deleted') AND last_error IS NOT NULL;

-- Sessions by the hash of their secret. They end with the token they were opened
-- with.
CREATE TABLE sessions (
    hash       TEXT PRIMARY KEY,
    token_hash TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_expires_at ON sessions (expires_at);
