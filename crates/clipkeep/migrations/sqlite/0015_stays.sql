-- What was stored, on whose account, from when until when: what a month cost does
-- not change after it. Twin of ../postgres/0015_stays.sql.

-- A row for each stay of bytes in the store, with the clip that pays for them. A
-- clip that shares an object has none while another one pays. `to_at` is null
-- while they are there. The tenant is the one that the clip had then ('' is none).
CREATE TABLE stays (
    id      INTEGER PRIMARY KEY,
    key     TEXT NOT NULL,
    tenant  TEXT NOT NULL,
    size    INTEGER NOT NULL,
    from_at INTEGER NOT NULL,
    to_at   INTEGER
) STRICT;

CREATE UNIQUE INDEX stays_open ON stays (key) WHERE to_at IS NULL;
CREATE INDEX stays_key ON stays (key, from_at);
CREATE INDEX stays_tenant ON stays (tenant, from_at);
CREATE INDEX stays_from ON stays (from_at);
CREATE INDEX stays_to ON stays (to_at) WHERE to_at IS NOT NULL;

-- What was lost or parted before this version is not known any more.
WITH members AS (
    SELECT key, coalesce(tenant, '') AS tenant, size, coalesce(object_key, key) AS object, stored_at, deleted_at,
        coalesce(deleted_at, 9223372036854775807) AS gone_at FROM clips
    WHERE state IN ('stored', 'deleted') AND size IS NOT NULL AND stored_at IS NOT NULL
        AND (deleted_at IS NULL OR deleted_at > stored_at)),
turns AS (
    SELECT key, tenant, size, deleted_at, gone_at, max(stored_at, coalesce(max(gone_at) OVER (PARTITION BY object
        ORDER BY stored_at, key ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)) AS since FROM members)
INSERT INTO stays (key, tenant, size, from_at, to_at)
SELECT key, tenant, size, since, deleted_at FROM turns WHERE since < gone_at;

-- When a clip's model became known: its generation counts in that month.
ALTER TABLE clips ADD COLUMN
    model_at INTEGER;
-- How long its bytes were when they were first stored, in seconds, should they be lost.
ALTER TABLE clips ADD COLUMN
    was_duration REAL;
UPDATE clips SET model_at = created_at WHERE model IS NOT NULL;
CREATE INDEX clips_model_at ON clips (model_at) WHERE model_at IS NOT NULL;
