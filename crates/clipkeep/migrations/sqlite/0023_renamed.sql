-- Clips whose bytes are not what they were announced as, and gave them another
-- name. Twin of ../postgres/0023_renamed.sql.

-- The name under which it was announced; null is the one that it has.
ALTER TABLE clips ADD COLUMN was_key TEXT
    CHECK (was_key IS NULL OR was_key <> key);

CREATE INDEX clips_was_key ON clips (was_key) WHERE was_key IS NOT NULL;
