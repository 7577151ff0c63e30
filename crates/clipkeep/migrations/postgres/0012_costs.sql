-- What storing costs: until when a clip's bytes were kept; the bucket's
-- operations; and which budgets were told of.
-- Twin of ../sqlite/0012_costs.sql.

ALTER TABLE clips ADD COLUMN deleted_at BIGINT;

UPDATE clips SET deleted_at = (SELECT max(at) FROM history h WHERE h.key = clips.key AND h.event = 'deleted')
WHERE state = 'deleted';

-- Requests to the bucket in an hour, over all nodes.
CREATE TABLE operations (
    hour   BIGINT PRIMARY KEY NOT NULL,
    writes BIGINT NOT NULL,
    reads  BIGINT NOT NULL
);
