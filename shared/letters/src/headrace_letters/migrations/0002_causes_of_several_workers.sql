-- Whether the record itself is wrong, so that every worker that reads it rejects it, before any store sees it.
ALTER TABLE headrace.dead_letters ADD COLUMN before_store boolean NOT NULL DEFAULT false;

-- The totals do not have this column.
ALTER TABLE headrace.dead_letters DISABLE TRIGGER dead_tally_updated;
UPDATE headrace.dead_letters SET before_store = true
WHERE origin = 'headrace'
    AND reason IN ('not_json', 'invalid', 'key_mismatch', 'null_without_version', 'unknown_schema');
ALTER TABLE headrace.dead_letters ENABLE TRIGGER dead_tally_updated;

-- Finds the letters of other workers for the same source record, and counts the source records of a cause.
CREATE INDEX dead_letters_by_record
    ON headrace.dead_letters (failed_topic, failed_partition, failed_offset) INCLUDE (fingerprint)
    WHERE before_store AND dead_topic IS NOT NULL;

-- A cause may have many letters of one worker and few of another.
DROP INDEX headrace.dead_letters_by_cause;
CREATE INDEX dead_letters_by_cause ON headrace.dead_letters (fingerprint, worker, status, failed_at, number)
    WHERE dead_topic IS NOT NULL;
