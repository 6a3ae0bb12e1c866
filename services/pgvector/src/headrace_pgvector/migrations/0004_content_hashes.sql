-- By model, the hash of the text that the model embedded for this version of the row: a vector of another text is not of
-- this row. hashed_version is the row's version when the hashes were written: a worker of an older release writes rows
-- without hashes, and then the vectors count as the row's own.

ALTER TABLE headrace.products ADD COLUMN content_hashes jsonb, ADD COLUMN hashed_version bigint;
ALTER TABLE headrace.keywords ADD COLUMN content_hashes jsonb, ADD COLUMN hashed_version bigint;
