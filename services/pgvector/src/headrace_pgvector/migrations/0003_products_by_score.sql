-- The products of a keyword are read by score, highest first.

CREATE INDEX product_keywords_by_score ON headrace.product_keywords (keyword_id, score DESC, product_id);
DROP INDEX headrace.product_keywords_by_keyword;
