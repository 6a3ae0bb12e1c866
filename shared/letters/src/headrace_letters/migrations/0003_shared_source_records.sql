-- The source records that have letters of several workers for one cause, because reading all letters is too slow for a page.
-- A row is for 128 offsets of a source partition, a block. `records`: how many source records have the same letters, as
-- [[{"elasticsearch": "waiting", "embed": "parked"}, 12], …]. The triggers below count a block again in the transaction
-- that changes one of its letters.
CREATE TABLE headrace.dead_shared_records (
    fingerprint text COLLATE "C",
    reason text COLLATE "C",
    failed_topic text COLLATE "C",
    failed_partition integer,
    block bigint,
    records jsonb NOT NULL,
    PRIMARY KEY (fingerprint, reason, failed_topic, failed_partition, block)
);

-- The `records` of a block; null if it has none. A replay from before `answered_by` without an answer counts as waiting.
-- The id of a letter without its worker names the source record, also if the topic was created again.
CREATE FUNCTION headrace.dead_records_of_block(
    cause text, why text, topic text, part integer, block bigint, answered_by timestamptz
) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_agg(jsonb_build_array(letters, records)) FROM (
        SELECT letters, count(*) AS records FROM (
            SELECT jsonb_object_agg(
                worker, CASE WHEN status = 'replaying' AND replayed_at < answered_by THEN 'waiting' ELSE status END
            ) AS letters
            FROM headrace.dead_letters
            WHERE before_store AND dead_topic IS NOT NULL AND failed_topic = topic AND failed_partition = part
                AND failed_offset BETWEEN block << 7 AND (block << 7) + 127 AND fingerprint = cause AND reason = why
            GROUP BY failed_offset, substr(dead_id, length(worker) + 1) HAVING count(*) > 1
        ) AS record GROUP BY letters
    ) AS alike
$$;

-- The first statement locks the blocks; the second one sees what other transactions have written to them until then.
CREATE FUNCTION headrace.dead_count_blocks(blocks headrace.dead_shared_records[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO headrace.dead_shared_records AS t SELECT * FROM unnest(blocks) ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (fingerprint, reason, failed_topic, failed_partition, block) DO UPDATE SET records = t.records;
    UPDATE headrace.dead_shared_records AS t SET records = coalesce(headrace.dead_records_of_block(
        t.fingerprint, t.reason, t.failed_topic, t.failed_partition, t.block, '-infinity'), '[]')
    FROM unnest(blocks) AS changed
    WHERE (t.fingerprint, t.reason, t.failed_topic, t.failed_partition, t.block)
        = (changed.fingerprint, changed.reason, changed.failed_topic, changed.failed_partition, changed.block);
END $$;

CREATE FUNCTION headrace.dead_shared_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM headrace.dead_count_blocks(ARRAY(
        SELECT DISTINCT ROW(fingerprint, reason, failed_topic, failed_partition, failed_offset >> 7, '[]')
            ::headrace.dead_shared_records
        FROM inserted WHERE before_store AND dead_topic IS NOT NULL AND failed_topic IS NOT NULL
    ));
    RETURN NULL;
END $$;

CREATE FUNCTION headrace.dead_shared_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM headrace.dead_count_blocks(ARRAY(
        SELECT DISTINCT ROW(fingerprint, reason, failed_topic, failed_partition, failed_offset >> 7, '[]')
            ::headrace.dead_shared_records
        FROM (SELECT * FROM updated UNION ALL SELECT * FROM outdated) AS changed
        WHERE before_store AND dead_topic IS NOT NULL AND failed_topic IS NOT NULL
    ));
    RETURN NULL;
END $$;

CREATE FUNCTION headrace.dead_shared_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM headrace.dead_count_blocks(ARRAY(
        SELECT DISTINCT ROW(fingerprint, reason, failed_topic, failed_partition, failed_offset >> 7, '[]')
            ::headrace.dead_shared_records
        FROM deleted WHERE before_store AND dead_topic IS NOT NULL AND failed_topic IS NOT NULL
    ));
    DELETE FROM headrace.dead_shared_records AS t USING deleted AS d
    WHERE t.records = '[]' AND (t.fingerprint, t.reason, t.failed_topic, t.failed_partition, t.block)
        = (d.fingerprint, d.reason, d.failed_topic, d.failed_partition, d.failed_offset >> 7);
    RETURN NULL;
END $$;

CREATE FUNCTION headrace.dead_shared_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM headrace.dead_shared_records;
    RETURN NULL;
END $$;

CREATE TRIGGER dead_shared_inserted AFTER INSERT ON headrace.dead_letters
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION headrace.dead_shared_inserted();
CREATE TRIGGER dead_shared_updated AFTER UPDATE ON headrace.dead_letters
    REFERENCING NEW TABLE AS updated OLD TABLE AS outdated
    FOR EACH STATEMENT EXECUTE FUNCTION headrace.dead_shared_updated();
CREATE TRIGGER dead_shared_deleted AFTER DELETE ON headrace.dead_letters
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION headrace.dead_shared_deleted();
CREATE TRIGGER dead_shared_truncated AFTER TRUNCATE ON headrace.dead_letters
    FOR EACH STATEMENT EXECUTE FUNCTION headrace.dead_shared_truncated();

-- The letters that exist already. Creating a trigger keeps other writers out until this transaction ends.
SELECT headrace.dead_count_blocks(ARRAY(
    SELECT DISTINCT ROW(fingerprint, reason, failed_topic, failed_partition, failed_offset >> 7, '[]')
        ::headrace.dead_shared_records
    FROM headrace.dead_letters WHERE before_store AND dead_topic IS NOT NULL AND failed_topic IS NOT NULL
));
