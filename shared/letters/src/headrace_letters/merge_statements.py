"""The SQL statements that merge letters, receipts and decisions into the index.

In each merge the greatest value wins, so that order and repetition do not matter. The columns of a letter come from its
newest record by (attempts, time of failure, position). Its status is the greatest (attempt, status). Its failures are
those of all records.
"""

from headrace_letters.letter_rows import LETTER_COLUMNS
from headrace_letters.selection import STATUS_TYPE

LETTERS = "dead_letters"
INCOMING = "incoming_dead_letters"
INCOMING_COLUMNS = ("dead_id", "first_failed_at", *LETTER_COLUMNS, "status")

CREATE_INCOMING = f"""
    CREATE TEMPORARY TABLE IF NOT EXISTS {INCOMING} ON COMMIT DELETE ROWS
    AS SELECT {", ".join(INCOMING_COLUMNS)} FROM {LETTERS} WITH NO DATA
"""  # noqa: S608


def _ordered(row: str) -> str:
    """The order of the letters of one id and attempt. If a crash wrote a letter twice, the second is newer."""
    return ", ".join(f"{row}.{column}" for column in ("failed_at", "dead_topic", "dead_partition", "dead_offset"))


def _failure(row: str) -> str:
    microseconds = f"(extract(epoch FROM {row}.failed_at) * 1000000)::bigint"
    place = _ordered(row).partition(", ")[2]
    return f"""jsonb_build_object({row}.attempts::text, jsonb_build_object(
        'order', jsonb_build_array({microseconds}, {place}),
        'reason', {row}.reason, 'fingerprint', {row}.fingerprint, 'error', left({row}.error, 500)))"""


_NEWER = f"t.dead_topic IS NULL OR (excluded.attempts, {_ordered('excluded')}) > (t.attempts, {_ordered('t')})"
_HIGHER = "(excluded.status_attempt, excluded.status) > (t.status_attempt, t.status)"
_STATUS = f"""
    status_attempt = CASE WHEN {_HIGHER} THEN excluded.status_attempt ELSE t.status_attempt END,
    status = CASE WHEN {_HIGHER} THEN excluded.status ELSE t.status END"""
_NEWEST_LETTER = ",\n    ".join(
    f"{column} = CASE WHEN {_NEWER} THEN excluded.{column} ELSE t.{column} END" for column in LETTER_COLUMNS
)
_FAILURES = f"""
    failures = CASE WHEN t.dead_topic IS NULL THEN t.failures ELSE (
        SELECT jsonb_object_agg(attempt, failure) FROM (
            SELECT DISTINCT ON (attempt) attempt, failure FROM (
                SELECT * FROM jsonb_each(t.failures)
                UNION ALL SELECT * FROM jsonb_each({_failure("t")})
                UNION ALL SELECT * FROM jsonb_each({_failure("excluded")})
            ) AS given (attempt, failure)
            ORDER BY attempt, failure->'order' DESC
        ) AS newest
    ) END"""  # noqa: S608

PUT_LETTERS = f"""
    INSERT INTO {LETTERS} AS t (dead_id, first_failed_at, {", ".join(LETTER_COLUMNS)}, status, status_attempt)
    SELECT {", ".join(INCOMING_COLUMNS)}, attempts FROM {INCOMING} ORDER BY dead_id
    ON CONFLICT (dead_id) DO UPDATE SET
    first_failed_at = least(t.first_failed_at, excluded.first_failed_at),
    {_NEWEST_LETTER},{_FAILURES},{_STATUS}
    WHERE (t.dead_topic, t.dead_partition, t.dead_offset)
        IS DISTINCT FROM (excluded.dead_topic, excluded.dead_partition, excluded.dead_offset)
"""  # noqa: S608
"""From INCOMING, which has each id once. A letter that is already in the index does not change."""

PUT_ANSWERS = f"""
    INSERT INTO {LETTERS} AS t (dead_id, status_attempt, status)
    SELECT dead_id, attempt, status::{STATUS_TYPE}
    FROM unnest($1::text[], $2::integer[], $3::text[]) AS given (dead_id, attempt, status) ORDER BY dead_id
    ON CONFLICT (dead_id) DO UPDATE SET {_STATUS} WHERE {_HIGHER}
"""  # noqa: S608
"""$1: ids, each once, $2: attempts, $3: statuses."""

LOCK = f"SELECT FROM {LETTERS} WHERE dead_id = ANY($1) ORDER BY dead_id FOR UPDATE"
"""Run it before an update that locks rows in any order. All writers lock letters in the order of ids; no deadlock."""

LOCK_DECIDED = f"""
    SELECT FROM {LETTERS} WHERE dead_id IN (SELECT dead_id FROM dead_decisions) ORDER BY dead_id FOR UPDATE
"""  # noqa: S608
COUNT_DECISIONS = "SELECT count(*) FROM dead_decisions"

RECORD = f"""
    INSERT INTO dead_decisions (dead_id, action, attempt, status, superseded_by)
    SELECT dead_id, $1, attempt, $4::text::{STATUS_TYPE}, $5
    FROM unnest($2::text[], $3::integer[]) AS given (dead_id, attempt)
    ON CONFLICT (dead_id, action, attempt) DO UPDATE
    SET status = excluded.status, superseded_by = excluded.superseded_by, at = excluded.at
"""  # noqa: S608
"""$1: action, $2: ids, $3: attempts, $4: the new status, $5: the version that supersedes them."""


def decide(decisions: str) -> str:
    """Merges decisions into the existing letters. `decisions`: a query with each id once, with `attempt`, `status`,
    `superseded_by` and `at`.
    """
    higher = "(given.attempt, given.status) > (t.status_attempt, t.status)"
    replay = """given.status = 'replaying'
        AND (t.replayed_at IS NULL OR (given.attempt, given.at) > (t.replayed_attempt, t.replayed_at))"""
    return f"""
        UPDATE {LETTERS} AS t SET
            status_attempt = CASE WHEN {higher} THEN given.attempt ELSE t.status_attempt END,
            status = CASE WHEN {higher} THEN given.status ELSE t.status END,
            replayed_attempt = CASE WHEN {replay} THEN given.attempt ELSE t.replayed_attempt END,
            replayed_at = CASE WHEN {replay} THEN given.at ELSE t.replayed_at END,
            superseded_by = greatest(t.superseded_by, given.superseded_by)
        FROM ({decisions}) AS given
        WHERE t.dead_id = given.dead_id
    """  # noqa: S608


def _greatest(order: str, condition: str = "TRUE") -> str:
    return f"""
        SELECT DISTINCT ON (dead_id) * FROM dead_decisions WHERE {condition} ORDER BY dead_id, {order}
    """  # noqa: S608


DECIDED = decide(_greatest("attempt DESC", "action = $1 AND dead_id = ANY($2)"))
"""Merges the decisions of one action. $1: action, $2: ids."""

DECIDED_EVER = (
    decide(_greatest("attempt DESC, status DESC, at DESC")),
    decide(_greatest("attempt DESC, at DESC", "status = 'replaying'")),
    decide(_greatest("superseded_by DESC", "superseded_by IS NOT NULL")),
)
"""Merges all decisions that were ever made, after rows were lost."""
