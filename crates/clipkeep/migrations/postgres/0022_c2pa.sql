-- Whether a clip's bytes carry a C2PA manifest (NULL: not looked at), and the
-- media type that its first viewer was told, for as long as its content epoch
-- lasts. Twin of ../sqlite/0022_c2pa.sql.

ALTER TABLE clips ADD COLUMN
    c2pa BOOLEAN;
ALTER TABLE clips ADD COLUMN
    served_type TEXT;
CREATE INDEX clips_c2pa ON clips (created_at, key) WHERE c2pa = TRUE;
