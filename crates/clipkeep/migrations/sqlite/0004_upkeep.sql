-- What keeps rows and objects one: tombstones, clips that started over, and
-- when stored bytes were last read and found right.
-- Twin of ../postgres/0004_upkeep.sql.

-- When a tombstone's object is removed once more: what a fill that was cut off
-- may have put there meanwhile goes, too.
ALTER TABLE clips ADD COLUMN remove_at INTEGER;
-- When it started over: its object was gone, or its source another one.
ALTER TABLE clips ADD COLUMN restarted_at INTEGER;
-- 0 is never.
ALTER TABLE clips ADD COLUMN verified_at INTEGER NOT NULL DEFAULT 0;

CREATE INDEX clips_remove_at ON clips (remove_at, key) WHERE remove_at IS NOT NULL;
CREATE INDEX clips_verified ON clips (verified_at, key) WHERE state = 'stored';

-- Long work that goes on where it was: when it was begun.
CREATE TABLE runs (
    name     TEXT PRIMARY KEY NOT NULL,
    began_at INTEGER NOT NULL
) STRICT;
