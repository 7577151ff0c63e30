-- Twin of ../postgres/0003_polls.sql.

-- When the provider is asked for a generation that no webhook ended (`poll_at`),
-- how often it was (`polls`, which also fences who asks), how often it did not
-- know it (`poll_misses`), and why the last time brought nothing.
ALTER TABLE generations ADD COLUMN
    poll_at INTEGER;
ALTER TABLE generations ADD COLUMN
    polls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE generations ADD COLUMN
    poll_misses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE generations ADD COLUMN
    poll_error TEXT;

UPDATE generations SET poll_at = created_at
WHERE provider = 'fal' AND model LIKE '%_/_%' AND status IN ('pending', 'result_missing');

CREATE INDEX generations_poll_at ON generations (poll_at) WHERE poll_at IS NOT NULL;
CREATE INDEX generations_unasked ON generations (created_at)
    WHERE poll_at IS NULL AND status IN ('pending', 'result_missing');

-- Whether the world was told that this source of an open clip runs out.
ALTER TABLE clips ADD COLUMN
    at_risk_told INTEGER NOT NULL DEFAULT 0 CHECK (at_risk_told IN (0, 1));

CREATE INDEX clips_at_risk ON clips (source_expires_at, key)
    WHERE state NOT IN ('stored', 'lost', 'rejected', 'deleted') AND source_expires_at IS NOT NULL;
CREATE INDEX clips_untold ON clips (source_expires_at, key)
    WHERE state NOT IN ('stored', 'lost', 'rejected', 'deleted') AND source_expires_at IS NOT NULL AND at_risk_told = 0;

-- The upcoming in two: deferred clips are backlog once they are due, all others
-- are fresh for a minute first.
DROP INDEX clips_upcoming;
CREATE INDEX clips_fresh ON clips (queue_at) WHERE queue_at IS NOT NULL AND queued = 0 AND policy <> 'deferred';
CREATE INDEX clips_deferred ON clips (queue_at) WHERE queue_at IS NOT NULL AND queued = 0 AND policy = 'deferred';
