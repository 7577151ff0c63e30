-- Tables, columns and words of history by their standard names. Twin of
-- ../sqlite/0027_terms.sql.

-- What was stored, on whose account, from when until when.
ALTER TABLE stays RENAME TO storage_periods;
ALTER INDEX stays_open RENAME TO storage_periods_open;
ALTER INDEX stays_key RENAME TO storage_periods_key;
ALTER INDEX stays_tenant RENAME TO storage_periods_tenant;
ALTER INDEX stays_from RENAME TO storage_periods_from;
ALTER INDEX stays_to RENAME TO storage_periods_to;

-- Bytes that one tenant has more than once.
ALTER TABLE repeats RENAME TO duplicates;
ALTER INDEX repeats_newest RENAME TO duplicates_newest;
ALTER INDEX repeats_tenant RENAME TO duplicates_tenant;

-- When a clip that shares an object gets one of its own.
ALTER TABLE clips RENAME COLUMN part_at TO unshare_at;
ALTER INDEX clips_part_at RENAME TO clips_unshare_at;
UPDATE history SET event = 'unshared' WHERE event = 'parted';

-- Whether `clip.at_risk` was emitted for a clip's source.
ALTER TABLE clips RENAME COLUMN at_risk_told TO at_risk_reported;
ALTER INDEX clips_untold RENAME TO clips_at_risk_unreported;

-- Budgets whose `budget.exceeded` was emitted, by month and threshold.
ALTER TABLE budgets_told RENAME TO budget_alarms;
ALTER TABLE budget_alarms RENAME COLUMN told_at TO raised_at;

-- Which provider's generation owns the clip keys of a request id.
ALTER TABLE names RENAME TO key_owners;
