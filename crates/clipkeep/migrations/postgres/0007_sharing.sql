-- Equal bytes of one tenant are one object. Names sort by bytes.
-- Twin of ../sqlite/0007_sharing.sql.

-- Under which clip's key this stored clip's bytes are; null is its own. A
-- tombstone keeps it, since the object goes with the last clip that refers to it.
-- How many do is counted by index and kept nowhere, so that it cannot drift.
ALTER TABLE clips ADD COLUMN object_key TEXT COLLATE "C"
    CHECK (object_key IS NULL OR (object_key <> key AND state IN ('stored', 'deleted')));
-- When a clip that shares is to get an object of its own.
ALTER TABLE clips ADD COLUMN part_at BIGINT;
-- What its bytes were before their object was lost: those of another clip will do.
ALTER TABLE clips ADD COLUMN was_sha256 TEXT;

CREATE INDEX clips_object ON clips (object_key, key) WHERE object_key IS NOT NULL AND state = 'stored';
CREATE INDEX clips_part_at ON clips (part_at, key) WHERE part_at IS NOT NULL;
CREATE INDEX clips_bytes ON clips (coalesce(tenant, ''), sha256, key) WHERE sha256 IS NOT NULL;

-- Bytes that a tenant ('' is none) was given more than once, and when last. How
-- often, and what it cost, is counted when asked.
CREATE TABLE repeats (
    tenant    TEXT COLLATE "C" NOT NULL,
    sha256    TEXT COLLATE "C" NOT NULL,
    newest_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, sha256)
);

CREATE INDEX repeats_newest ON repeats (newest_at, tenant, sha256);
CREATE INDEX repeats_tenant ON repeats (tenant, newest_at, sha256);

INSERT INTO repeats (tenant, sha256, newest_at)
SELECT coalesce(tenant, ''), sha256, max(stored_at) FROM clips
WHERE state = 'stored' GROUP BY coalesce(tenant, ''), sha256 HAVING count(*) > 1;
