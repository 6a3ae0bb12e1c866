-- The newest version of each product and keyword. A deleted entity stays as a tombstone: its version keeps out older
-- changes that arrive late. Ids compare byte by byte, so that every writer locks rows in one order.

CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;

CREATE TABLE headrace.products (
    product_id text COLLATE "C" PRIMARY KEY,
    title text,
    description text,
    brand text,
    category text,
    price double precision,
    currency text,
    attributes jsonb,
    locale text,
    version bigint NOT NULL CHECK (version > 0),
    deleted_at timestamptz,
    CONSTRAINT tombstone_is_bare CHECK (
        deleted_at IS NULL
        OR num_nonnulls(title, description, brand, category, price, currency, attributes, locale) = 0
    )
);

CREATE TABLE headrace.keywords (
    keyword_id text COLLATE "C" PRIMARY KEY,
    text text,
    locale text,
    popularity double precision,
    version bigint NOT NULL CHECK (version > 0),
    deleted_at timestamptz,
    CONSTRAINT tombstone_is_bare CHECK (deleted_at IS NULL OR num_nonnulls(text, locale, popularity) = 0)
);

CREATE VIEW headrace.live_products AS
SELECT product_id, title, description, brand, category, price, currency, attributes, locale, version
FROM headrace.products
WHERE deleted_at IS NULL;

CREATE VIEW headrace.live_keywords AS
SELECT keyword_id, text, locale, popularity, version
FROM headrace.keywords
WHERE deleted_at IS NULL;
