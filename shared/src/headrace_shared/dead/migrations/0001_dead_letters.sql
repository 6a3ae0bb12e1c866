-- What became of a letter, weakest first: of two that speak of one attempt the later holds.
CREATE TYPE headrace.dead_status AS ENUM ('waiting', 'replaying', 'parked', 'discarded', 'superseded', 'resolved');

-- One row a dead letter, without its payload: that stays in its topic, at (dead_topic, dead_partition, dead_offset).
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
    -- The failure of each attempt, by its number; left empty until there is a second letter to tell of.
    failures jsonb NOT NULL DEFAULT '{}',
    status headrace.dead_status NOT NULL,
    status_attempt integer NOT NULL,
    replayed_at timestamptz,
    replayed_attempt integer,
    superseded_by bigint
);

CREATE INDEX dead_letters_by_failure ON headrace.dead_letters (failed_at, number);
CREATE INDEX dead_letters_by_cause ON headrace.dead_letters (fingerprint, status, failed_at, number);
CREATE INDEX dead_letters_by_status ON headrace.dead_letters (status, failed_at, number);
CREATE INDEX dead_letters_by_place ON headrace.dead_letters (dead_topic, dead_partition, dead_offset);
-- A key may be larger than what a B-tree takes.
CREATE INDEX dead_letters_by_key ON headrace.dead_letters USING hash (key);

-- What operators did: who, when, what, to which selection, why, and how it ended. Kept for ever.
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

-- Which letters an action changed, so that a lost index can be made again with what operators decided.
CREATE TABLE headrace.dead_decisions (
    dead_id text COLLATE "C",
    action bigint,
    attempt integer,
    status headrace.dead_status NOT NULL,
    superseded_by bigint,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dead_id, action, attempt)
);
