-- Who this catalogue is. Twin of
-- ../postgres/0020_custody.sql.

-- One row. The store carries the same id, so that neither is taken for another.
CREATE TABLE identity (
    id TEXT PRIMARY KEY NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO identity (id) VALUES (lower(hex(randomblob(16))));
