-- What keeps rows and objects one: tombstones, clips that started over, and
-- when stored bytes were last read and found right.
-- Twin of ../sqlite/0004_upkeep.sql.

-- When a tombstone's object is removed once more: what a fill that was cut off
-- may have put there meanwhile goes, too.
ALTER TABLE clips ADD COLUMN remove_at BIGINT;
-- When it started over: its object was gone, or its source another one.
ALTER TABLE clips ADD COLUMN restarted_at BIGINT;
-- 0 is never.
ALTER TABLE clips ADD COLUMN verified_at BIGINT NOT NULL DEFAULT 0;

CREATE INDEX clips_remove_at ON clips (remove_at, key) WHERE remove_at IS NOT NULL;
CREATE INDEX clips_verified ON clips (verified_at, key) WHERE state = 'stored';

-- Long work that goes on where it was: when it was begun.
CREATE TABLE runs (
    name     TEXT PRIMARY KEY NOT NULL,
    began_at BIGINT NOT NULL
);
