-- The digest of the change that wrote the row. It names the version, so that the digest of an older one, which a worker of
-- an older release leaves in the row, is known to be outdated.

ALTER TABLE headrace.products ADD COLUMN digest text;
ALTER TABLE headrace.keywords ADD COLUMN digest text;
