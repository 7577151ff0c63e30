-- Budgets are weighed a few tenants at a time, by one node for all, and what was
-- found is kept. Twin of ../postgres/0025_weighed.sql.

-- How far the look at tenants is. `plan` is what the budgets were when it was last
-- taken up in `month`; a month that is over is looked at once more with its own.
-- Nobody else goes on before `held_until`.
CREATE TABLE budget_round (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    month      TEXT NOT NULL,
    plan       TEXT NOT NULL,
    after      TEXT NOT NULL,
    closing    INTEGER NOT NULL CHECK (closing IN (0, 1)),
    held_until INTEGER NOT NULL
) STRICT;

-- How much of each budget was spent when it was last looked at. `tenant` is empty
-- for all together.
CREATE TABLE budgets_used (
    tenant     TEXT NOT NULL,
    price_list TEXT NOT NULL,
    budget     TEXT NOT NULL,
    month      TEXT NOT NULL,
    spent      TEXT NOT NULL,
    percent    INTEGER NOT NULL,
    PRIMARY KEY (tenant, price_list)
) STRICT, WITHOUT ROWID;

CREATE INDEX budgets_most_used ON budgets_used (month, budget, price_list, percent);

-- When it became known how long a clip is whose model is known: what is paid by the
-- second counts in that month, and a month that is over stays as it was.
ALTER TABLE clips ADD COLUMN
    duration_at INTEGER;
UPDATE clips SET duration_at = max(model_at, coalesce(stored_at, model_at))
    WHERE model_at IS NOT NULL AND coalesce(was_duration, duration) IS NOT NULL AND state <> 'filling';
CREATE INDEX clips_duration_at ON clips (duration_at) WHERE duration_at IS NOT NULL;
