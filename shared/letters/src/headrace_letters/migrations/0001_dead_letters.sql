-- The status of a letter, weakest first: of two statuses for one attempt, the later in this list wins.
CREATE TYPE headrace.dead_status AS ENUM ('waiting', 'replaying', 'parked', 'discarded', 'superseded', 'resolved');

-- One row for each dead letter, without its payload, which stays in the topic at (dead_topic, dead_partition, dead_offset).
-- A receipt can come before the letter that it answers: such a row has a status, and no letter yet.
CREATE TABLE headrace.dead_letters (
    number bigint GENERATED ALWAYS AS IDENTITY,
    dead_id text COLLATE "C" PRIMARY KEY,
    origin text,
    worker text COLLATE "C",
    reason text COLLATE "C",
    fingerprint text COLLATE "C",
    error text,
    attempts integer,
    first_failed_at timestamptz,
    failed_at timestamptz,
    key bytea,
    dead_topic text COLLATE "C",
    dead_partition integer,
    dead_offset bigint,
    failed_topic text COLLATE "C",
    failed_partition integer,
    failed_offset bigint,
    kind text,
    entity_id text,
    version bigint,
    size bigint,
    -- The failure of each attempt, by its number; empty until the letter has failed a second time.
    failures jsonb NOT NULL DEFAULT '{}',
    status headrace.dead_status NOT NULL,
    status_attempt integer NOT NULL,
    replayed_at timestamptz,
    replayed_attempt integer,
    superseded_by bigint
);

CREATE INDEX dead_letters_by_failure ON headrace.dead_letters (failed_at, number) WHERE dead_topic IS NOT NULL;
CREATE INDEX dead_letters_by_cause ON headrace.dead_letters (fingerprint, status, failed_at, number)
    WHERE dead_topic IS NOT NULL;
CREATE INDEX dead_letters_by_status ON headrace.dead_letters (status, failed_at, number) WHERE dead_topic IS NOT NULL;
CREATE INDEX dead_letters_by_place ON headrace.dead_letters (dead_topic, dead_partition, dead_offset)
    WHERE dead_topic IS NOT NULL;
-- A key may be too large for a B-tree.
CREATE INDEX dead_letters_by_key ON headrace.dead_letters USING hash (key) WHERE dead_topic IS NOT NULL;

-- The number of letters of each cause and status, by the five minutes of their last failure, because counting rows is too
-- slow for a page. The triggers below update it in the transaction that changes a letter.
CREATE TABLE headrace.dead_tallies (
    fingerprint text COLLATE "C",
    worker text COLLATE "C",
    reason text COLLATE "C",
    status headrace.dead_status,
    since timestamptz,
    letters bigint NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    PRIMARY KEY (fingerprint, worker, reason, status, since)
);

CREATE FUNCTION headrace.dead_tally_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO headrace.dead_tallies AS t
    SELECT fingerprint, worker, reason, status, date_bin('5 minutes', failed_at, 'epoch'),
        count(*), min(first_failed_at), max(failed_at)
    FROM inserted WHERE dead_topic IS NOT NULL GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (fingerprint, worker, reason, status, since) DO UPDATE SET
        letters = t.letters + excluded.letters,
        first_seen = least(t.first_seen, excluded.first_seen),
        last_seen = greatest(t.last_seen, excluded.last_seen);
    RETURN NULL;
END $$;

CREATE FUNCTION headrace.dead_tally_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO headrace.dead_tallies AS t
    SELECT fingerprint, worker, reason, status, date_bin('5 minutes', failed_at, 'epoch'),
        sum(change), min(first_failed_at), max(failed_at)
    FROM (SELECT 1 AS change, * FROM updated UNION ALL SELECT -1, * FROM outdated) AS changed
    WHERE dead_topic IS NOT NULL GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (fingerprint, worker, reason, status, since) DO UPDATE SET
        letters = t.letters + excluded.letters,
        first_seen = least(t.first_seen, excluded.first_seen),
        last_seen = greatest(t.last_seen, excluded.last_seen);
    RETURN NULL;
END $$;

CREATE FUNCTION headrace.dead_tally_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE headrace.dead_tallies AS t SET letters = t.letters - gone.letters
    FROM (
        SELECT fingerprint, worker, reason, status, date_bin('5 minutes', failed_at, 'epoch') AS since, count(*) AS letters
        FROM deleted WHERE dead_topic IS NOT NULL GROUP BY 1, 2, 3, 4, 5
    ) AS gone
    WHERE (t.fingerprint, t.worker, t.reason, t.status, t.since)
        = (gone.fingerprint, gone.worker, gone.reason, gone.status, gone.since);
    RETURN NULL;
END $$;

CREATE FUNCTION headrace.dead_tally_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM headrace.dead_tallies;
    RETURN NULL;
END $$;

CREATE TRIGGER dead_tally_inserted AFTER INSERT ON headrace.dead_letters
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION headrace.dead_tally_inserted();
CREATE TRIGGER dead_tally_updated AFTER UPDATE ON headrace.dead_letters
    REFERENCING NEW TABLE AS updated OLD TABLE AS outdated
    FOR EACH STATEMENT EXECUTE FUNCTION headrace.dead_tally_updated();
CREATE TRIGGER dead_tally_deleted AFTER DELETE ON headrace.dead_letters
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION headrace.dead_tally_deleted();
CREATE TRIGGER dead_tally_truncated AFTER TRUNCATE ON headrace.dead_letters
    FOR EACH STATEMENT EXECUTE FUNCTION headrace.dead_tally_truncated();

-- Actions of operators: who, when, what, on which selection, why, and the outcome. Never deleted.
CREATE TABLE headrace.dead_actions (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    name text NOT NULL,
    selection jsonb NOT NULL,
    reason text NOT NULL,
    count integer NOT NULL DEFAULT 0,
    outcome text,
    finished_at timestamptz
);

-- The letters that an action changed, so that a lost index can be restored with the decisions of operators.
CREATE TABLE headrace.dead_decisions (
    dead_id text COLLATE "C",
    action bigint,
    attempt integer,
    status headrace.dead_status NOT NULL,
    superseded_by bigint,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dead_id, action, attempt)
);
