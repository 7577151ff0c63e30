-- Tables, columns and words of history by their standard names. Twin of
-- ../postgres/0027_terms.sql.

-- What was stored, on whose account, from when until when.
ALTER TABLE stays RENAME TO storage_periods;
DROP INDEX stays_open;
DROP INDEX stays_key;
DROP INDEX stays_tenant;
DROP INDEX stays_from;
DROP INDEX stays_to;
CREATE UNIQUE INDEX storage_periods_open ON storage_periods (key) WHERE to_at IS NULL;
CREATE INDEX storage_periods_key ON storage_periods (key, from_at);
CREATE INDEX storage_periods_tenant ON storage_periods (tenant, from_at);
CREATE INDEX storage_periods_from ON storage_periods (from_at);
CREATE INDEX storage_periods_to ON storage_periods (to_at) WHERE to_at IS NOT NULL;

-- Bytes that one tenant has more than once.
ALTER TABLE repeats RENAME TO duplicates;
DROP INDEX repeats_newest;
DROP INDEX repeats_tenant;
CREATE INDEX duplicates_newest ON duplicates (newest_at, tenant, sha256);
CREATE INDEX duplicates_tenant ON duplicates (tenant, newest_at, sha256);

-- When a clip that shares an object gets one of its own.
ALTER TABLE clips RENAME COLUMN part_at TO unshare_at;
DROP INDEX clips_part_at;
CREATE INDEX clips_unshare_at ON clips (unshare_at, key) WHERE unshare_at IS NOT NULL;
UPDATE history SET event = 'unshared' WHERE event = 'parted';

-- Whether `clip.at_risk` was emitted for a clip's source.
ALTER TABLE clips RENAME COLUMN at_risk_told TO at_risk_reported;
DROP INDEX clips_untold;
CREATE INDEX clips_at_risk_unreported ON clips (source_expires_at, key) WHERE state NOT IN ('stored', 'lost', 'rejected', 'deleted') AND source_expires_at IS NOT NULL AND at_risk_reported = 0;

-- Budgets whose `budget.exceeded` was emitted, by month and threshold.
ALTER TABLE budgets_told RENAME TO budget_alarms;
ALTER TABLE budget_alarms RENAME COLUMN told_at TO raised_at;

-- Which provider's generation owns the clip keys of a request id.
ALTER TABLE names RENAME TO key_owners;
