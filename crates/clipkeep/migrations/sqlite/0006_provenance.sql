-- Which prompt made which clip, and which clip which other one.
-- Twin of ../postgres/0006_provenance.sql.

-- The seed of its generation, as its model and tenant are.
ALTER TABLE clips ADD COLUMN
    seed INTEGER;
UPDATE clips SET seed = (SELECT g.seed FROM generations g
WHERE g.provider = clips.provider AND g.request_id = clips.request_id);
CREATE INDEX clips_seed ON clips (seed, created_at, key) WHERE seed IS NOT NULL;

-- The words of a clip's prompt, its tenant and its model, as `core/words.rs`
-- makes them of it. Only clips whose prompt is kept are here. `rowid` grows with
-- `created_at` (see catalog/sqlite/words.rs), so the newest matches come first
-- without sorting.
CREATE VIRTUAL TABLE clip_words USING fts5 (
    key UNINDEXED,
    created_at UNINDEXED,
    words , detail = none, columnsize = 0, tokenize = "ascii tokenchars '_'");

-- Which of our clips stood in a generation's input. Neither needs to be known.
CREATE TABLE parents (
    provider   TEXT NOT NULL,
    request_id TEXT NOT NULL,
    parent     TEXT NOT NULL,
    PRIMARY KEY (request_id, provider, parent)
) STRICT, WITHOUT ROWID;

CREATE INDEX parents_parent ON parents (parent, request_id, provider);
