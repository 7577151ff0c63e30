-- What tenants said of generations that are not known to be theirs: each tenant's
-- own word, apart from all others'. It goes once the generation is confirmed as
-- the tenant's. Twin of ../sqlite/0024_claims.sql.

CREATE TABLE claims (
    request_id  TEXT COLLATE "C" NOT NULL,
    provider    TEXT COLLATE "C" NOT NULL,
    tenant      TEXT COLLATE "C" NOT NULL,
    model       TEXT,
    prompt      TEXT,
    prompt_hash TEXT,
    policy      TEXT,
    input       TEXT,
    seed        BIGINT,
    seed_beyond BIGINT,
    public      BOOLEAN,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (request_id, provider, tenant)
);

-- What is over was confirmed.
INSERT INTO names (request_id, provider)
    SELECT request_id, min(provider) FROM generations g
    WHERE provider <> 'adopted' AND status <> 'pending'
    AND NOT EXISTS (SELECT 1 FROM names n WHERE n.request_id = g.request_id) GROUP BY request_id;

INSERT INTO claims (request_id, provider, tenant, model, prompt, prompt_hash, policy, input, seed, seed_beyond, public, created_at)
    SELECT request_id, provider, tenant, model, prompt, prompt_hash, policy, input, seed, seed_beyond, public, created_at
    FROM generations g WHERE tenant IS NOT NULL AND provider <> 'adopted'
    AND NOT EXISTS (SELECT 1 FROM names n WHERE n.request_id = g.request_id AND n.provider = g.provider);
