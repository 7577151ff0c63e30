-- Budgets: what was told of them, once for each amount, month and threshold,
-- with its event in one transaction. `tenant` is empty for all together.
-- Events may be about no generation. Twin of ../postgres/0014_budgets.sql.

-- SQLite drops no NOT NULL: new columns take the old ones' places.
ALTER TABLE events RENAME COLUMN provider TO old_provider;
ALTER TABLE events RENAME COLUMN request_id TO old_request_id;
ALTER TABLE events ADD COLUMN provider TEXT;
ALTER TABLE events ADD COLUMN request_id TEXT;
UPDATE events SET provider = old_provider, request_id = old_request_id;
ALTER TABLE events DROP COLUMN old_provider;
ALTER TABLE events DROP COLUMN old_request_id;

-- Whose an event is, where no generation tells.
ALTER TABLE events ADD COLUMN
    tenant TEXT;

CREATE TABLE budgets_told (
    month      TEXT NOT NULL,
    tenant     TEXT NOT NULL,
    price_list TEXT NOT NULL,
    budget     TEXT NOT NULL,
    threshold  INTEGER NOT NULL,
    told_at    INTEGER NOT NULL,
    PRIMARY KEY (month, tenant, price_list, budget, threshold)
) STRICT, WITHOUT ROWID;
