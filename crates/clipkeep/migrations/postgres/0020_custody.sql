-- Who this catalogue is, and events whose numbers are our own. Twin of ../sqlite/0020_custody.sql.

-- One row. The store carries the same id, so that neither is taken for another.
CREATE TABLE identity (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL
);

INSERT INTO identity (id) VALUES (replace(gen_random_uuid()::text, '-', ''));


-- Events got the numbers of their transactions, and whoever read them waited for
-- all that were open, of whatever application. Now they get numbers of their own.
CREATE SEQUENCE event_positions;

SELECT setval('event_positions', greatest(pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
  (SELECT max(tx) FROM events), (SELECT max(tx) FROM endpoints)));

-- The next number. The first of a transaction is preceded by a lock that lasts
-- as long as the transaction, and whose name is a number below all that it will
-- draw: so a reader sees in pg_locks below what nothing comes any more.
CREATE FUNCTION event_position() RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
  low BIGINT;
BEGIN
  IF coalesce(current_setting('clipkeep.tells_after', true), '') = '' THEN
  SELECT last_value INTO low FROM event_positions;
  PERFORM pg_advisory_xact_lock_shared('events'::regclass::oid::int, (low & 2147483647)::int);
  PERFORM set_config('clipkeep.tells_after', low::text, true);
  END IF;
  RETURN nextval('event_positions');
END
$$;

-- The number up to which all events are there that ever will be. It is true of
-- what is read by later statements alone: the last number is read before the
-- locks, and a lock is let go after its events can be seen. A lock's name has 31
-- bits; whoever took one after that look has a number that is higher.
CREATE FUNCTION events_settled() RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
  last BIGINT;
  behind BIGINT;
BEGIN
  SELECT last_value INTO last FROM event_positions;
  SELECT max(open.behind) INTO behind FROM (
  SELECT (last - objid::bigint) & 2147483647 AS behind FROM pg_locks
  WHERE locktype = 'advisory' AND classid = 'events'::regclass::oid AND objsubid = 2
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) open
  WHERE open.behind < 1073741824;
  RETURN last - coalesce(behind, 0);
END
$$;

ALTER TABLE events ALTER COLUMN tx SET DEFAULT event_position();
