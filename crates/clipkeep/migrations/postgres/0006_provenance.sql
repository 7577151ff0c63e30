-- Which prompt made which clip, and which clip which other one.
-- Twin of ../sqlite/0006_provenance.sql.

-- The seed of its generation, as its model and tenant are.
ALTER TABLE clips ADD COLUMN
    seed BIGINT;
UPDATE clips SET seed = g.seed FROM generations g
WHERE g.provider = clips.provider AND g.request_id = clips.request_id AND g.seed IS NOT NULL;
CREATE INDEX clips_seed ON clips (seed, created_at, key) WHERE seed IS NOT NULL;

-- The words of a clip's prompt, its tenant and its model, as `core/words.rs`
-- makes them of it. Only clips whose prompt is kept are here. A table of its own:
-- a clip's row changes often, and each time its entries in all indexes would.
CREATE TABLE clip_words (
    key        TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    created_at BIGINT NOT NULL,
    words      TSVECTOR NOT NULL
);

CREATE INDEX clip_words_newest ON clip_words (created_at, key);
-- An index of words has no order of time. So the spans of time that a clip was
-- made in stand beside its words, from 17 minutes to fifty days, as
-- `catalog/postgres/spans.rs` asks for them: the newest matches are found without
-- reading all others. A short list of what is to be sorted in: searches read all
-- of it.
CREATE INDEX clip_words_words ON clip_words USING gin (words, (ARRAY[
  (created_at >> 20) << 3, (created_at >> 24) << 3 | 1, (created_at >> 28) << 3 | 2, (created_at >> 32) << 3 | 3
])) WITH (gin_pending_list_limit = 512);

-- Which of our clips stood in a generation's input. Neither needs to be known.
CREATE TABLE parents (
    provider   TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    parent     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (request_id, provider, parent)
);

CREATE INDEX parents_parent ON parents (parent, request_id, provider);

