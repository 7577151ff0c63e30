-- Budgets are weighed a few tenants at a time, by one node for all, and what was
-- found is kept. Twin of ../sqlite/0025_weighed.sql.

-- How far the look at tenants is. `plan` is what the budgets were when it was last
-- taken up in `month`; a month that is over is looked at once more with its own.
-- Nobody else goes on before `held_until`.
CREATE TABLE budget_round (
    id         BIGINT PRIMARY KEY CHECK (id = 1),
    month      TEXT COLLATE "C" NOT NULL,
    plan       TEXT NOT NULL,
    after      TEXT COLLATE "C" NOT NULL,
    closing    BOOLEAN NOT NULL,
    held_until BIGINT NOT NULL
);

-- How much of each budget was spent when it was last looked at. `tenant` is empty
-- for all together.
CREATE TABLE budgets_used (
    tenant     TEXT COLLATE "C" NOT NULL,
    price_list TEXT COLLATE "C" NOT NULL,
    budget     TEXT COLLATE "C" NOT NULL,
    month      TEXT COLLATE "C" NOT NULL,
    spent      TEXT NOT NULL,
    percent    BIGINT NOT NULL,
    PRIMARY KEY (tenant, price_list)
);

CREATE INDEX budgets_most_used ON budgets_used (month, budget, price_list, percent);

-- When it became known how long a clip is whose model is known: what is paid by the
-- second counts in that month, and a month that is over stays as it was.
ALTER TABLE clips ADD COLUMN
    duration_at BIGINT;
UPDATE clips SET duration_at = greatest(model_at, coalesce(stored_at, model_at))
    WHERE model_at IS NOT NULL AND coalesce(was_duration, duration) IS NOT NULL AND state <> 'filling';
CREATE INDEX clips_duration_at ON clips (duration_at) WHERE duration_at IS NOT NULL;

-- Tenants' names sort by bytes, so that the next one is found by its index.
ALTER TABLE generations ALTER COLUMN tenant TYPE TEXT COLLATE "C";
ALTER TABLE clips ALTER COLUMN tenant TYPE TEXT COLLATE "C";
