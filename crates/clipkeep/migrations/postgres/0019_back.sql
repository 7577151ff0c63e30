-- The ends of clips: attempts that end without an answer, and the ways back.
-- Twin of ../sqlite/0019_back.sql.

-- How many of its attempts in a row ended without an answer, the last one not
-- counted while its lease holds; and how many bytes the furthest of them had.
ALTER TABLE clips ADD COLUMN vanished BIGINT NOT NULL DEFAULT 0;
ALTER TABLE clips ADD COLUMN reached BIGINT NOT NULL DEFAULT 0;
-- Scheme, host and port that it was rejected for: it comes back when they are allowed.
ALTER TABLE clips ADD COLUMN refused TEXT COLLATE "C";
-- How often the same news brought it back since its source was announced.
ALTER TABLE clips ADD COLUMN returned BIGINT NOT NULL DEFAULT 0;
-- How often a tombstone's object could not be removed.
ALTER TABLE clips ADD COLUMN stayed BIGINT NOT NULL DEFAULT 0;
-- Whether its object was written by somebody else, who may write it again: no
-- other clip shares it, even when its provider is known by now.
ALTER TABLE clips ADD COLUMN adopted BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE clips SET adopted = TRUE WHERE state = 'stored' AND source_url LIKE 'store:%';

CREATE INDEX clips_vanished ON clips (queue_at) WHERE vanished > 0 AND queue_at IS NOT NULL;
CREATE INDEX clips_refused ON clips (refused, key) WHERE refused IS NOT NULL;
