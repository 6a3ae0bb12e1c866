-- The link set of each product: a row of product_links, which stays for an empty set and as the tombstone of a deleted
-- product, and a row of product_keywords for each link. The first has the version, and its lock protects the others.

CREATE TABLE headrace.product_links (
    product_id text COLLATE "C" PRIMARY KEY,
    title text,
    version bigint NOT NULL CHECK (version > 0),
    deleted_at timestamptz,
    CONSTRAINT links_tombstone_is_bare CHECK (deleted_at IS NULL OR title IS NULL)
);

CREATE TABLE headrace.product_keywords (
    product_id text COLLATE "C" NOT NULL,
    keyword_id text COLLATE "C" NOT NULL,
    text text NOT NULL,
    score double precision NOT NULL,
    rank integer NOT NULL CHECK (rank > 0),
    PRIMARY KEY (product_id, keyword_id)
);

CREATE INDEX product_keywords_by_keyword ON headrace.product_keywords (keyword_id, rank, score DESC, product_id);
