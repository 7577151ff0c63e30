-- What storing costs: until when a clip's bytes were kept; and the
-- bucket's operations.
-- Twin of ../sqlite/0012_costs.sql.

ALTER TABLE clips ADD COLUMN deleted_at BIGINT;

UPDATE clips SET deleted_at = (SELECT max(at) FROM history h WHERE h.key = clips.key AND h.event = 'deleted')
WHERE state = 'deleted';

-- Who shares an object, or did.
CREATE INDEX clips_sharers ON clips (object_key, key) WHERE object_key IS NOT NULL;

-- Requests to the bucket in an hour, over all nodes.
CREATE TABLE operations (
    hour   BIGINT PRIMARY KEY NOT NULL,
    writes BIGINT NOT NULL,
    reads  BIGINT NOT NULL
);
