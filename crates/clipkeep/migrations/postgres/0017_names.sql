-- Which provider's generation holds the clip names of a request id: names have
-- no provider in them. The first that was confirmed does, for good. Twin of
-- ../sqlite/0017_names.sql.

CREATE TABLE names (
    request_id TEXT COLLATE "C" NOT NULL,
    provider   TEXT NOT NULL,
    PRIMARY KEY (request_id)
);

INSERT INTO names (request_id, provider)
    SELECT request_id, min(provider) FROM clips WHERE provider <> 'adopted' GROUP BY request_id;
