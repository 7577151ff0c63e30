-- Links that were revoked before their time. Twin of ../sqlite/0011_links.sql.

-- Raised when all of a clip's links are revoked: those of a lower one are refused.
ALTER TABLE clips ADD COLUMN
    link_generation BIGINT NOT NULL DEFAULT 0;

-- One link by its hash, or all links of a key by its id. A key's revocation
-- never ends; a link's does some time after the link would have.
CREATE TABLE revocations (
    what       TEXT PRIMARY KEY NOT NULL,
    revoked_at BIGINT NOT NULL,
    ends_at    BIGINT
);
