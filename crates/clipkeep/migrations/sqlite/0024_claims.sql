-- What tenants said of generations that are not known to be theirs: each tenant's
-- own word, apart from all others'. It goes once the generation is confirmed as
-- the tenant's. Twin of ../postgres/0024_claims.sql.

CREATE TABLE claims (
    request_id  TEXT NOT NULL,
    provider    TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    model       TEXT,
    prompt      TEXT,
    prompt_hash TEXT,
    policy      TEXT,
    input       TEXT,
    seed        INTEGER,
    seed_beyond INTEGER,
    public      INTEGER CHECK (public IN (0, 1)),
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (request_id, provider, tenant)
) STRICT, WITHOUT ROWID;

-- What is over was confirmed.
INSERT INTO names (request_id, provider)
    SELECT request_id, min(provider) FROM generations g
    WHERE provider <> 'adopted' AND status <> 'pending'
    AND NOT EXISTS (SELECT 1 FROM names n WHERE n.request_id = g.request_id) GROUP BY request_id;

INSERT INTO claims (request_id, provider, tenant, model, prompt, prompt_hash, policy, input, seed, seed_beyond, public, created_at)
    SELECT request_id, provider, tenant, model, prompt, prompt_hash, policy, input, seed, seed_beyond, public, created_at
    FROM generations g WHERE tenant IS NOT NULL AND provider <> 'adopted'
    AND NOT EXISTS (SELECT 1 FROM names n WHERE n.request_id = g.request_id AND n.provider = g.provider);
