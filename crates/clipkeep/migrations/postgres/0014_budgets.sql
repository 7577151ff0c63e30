-- Budgets: what was told of them, once for each amount, month and threshold,
-- with its event in one transaction. `tenant` is empty for all together.
-- Events may be about no generation. Twin of ../sqlite/0014_budgets.sql.

ALTER TABLE events ALTER COLUMN provider DROP NOT NULL;
ALTER TABLE events ALTER COLUMN request_id DROP NOT NULL;

-- Whose an event is, where no generation tells.
ALTER TABLE events ADD COLUMN
    tenant TEXT COLLATE "C";

CREATE TABLE budgets_told (
    month      TEXT COLLATE "C" NOT NULL,
    tenant     TEXT COLLATE "C" NOT NULL,
    price_list TEXT COLLATE "C" NOT NULL,
    budget     TEXT COLLATE "C" NOT NULL,
    threshold  BIGINT NOT NULL,
    told_at    BIGINT NOT NULL,
    PRIMARY KEY (month, tenant, price_list, budget, threshold)
);
