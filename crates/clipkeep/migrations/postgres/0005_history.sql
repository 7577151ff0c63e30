-- How many bytes a line of history is about: read from the source in the attempt
-- that it ends, or of the object that it seals. Twin of ../sqlite/0005_history.sql.

ALTER TABLE history ADD COLUMN
    bytes BIGINT;
