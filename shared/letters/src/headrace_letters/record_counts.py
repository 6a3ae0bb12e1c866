"""How many source records the letters of a cause are about."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from headrace_clients.postgres import Connection
from headrace_letters.count_source import VISIBLE, has_totals
from headrace_letters.merge_statements import LETTERS
from headrace_letters.selection import STATUS_TYPE, Selection

_LATE_BLOCKS = f"""
    SELECT DISTINCT fingerprint, reason, failed_topic, failed_partition, failed_offset >> 7 AS block FROM {LETTERS}
    WHERE status = 'replaying' AND replayed_at < $1 AND fingerprint = ANY($2)
        AND before_store AND dead_topic IS NOT NULL AND failed_topic IS NOT NULL
"""  # noqa: S608
"""The blocks with replays that count as waiting although their stored status is `replaying`."""

_SHARED = f"""
    SELECT fingerprint, reason, alike->0 AS letters, sum((alike->1)::bigint) AS records
    FROM (
        SELECT fingerprint, reason, records FROM dead_shared_records
        WHERE fingerprint = ANY($2)
            AND (fingerprint, reason, failed_topic, failed_partition, block) NOT IN ({_LATE_BLOCKS})
        UNION ALL
        SELECT fingerprint, reason,
            dead_records_of_block(fingerprint, reason, failed_topic, failed_partition, block, $1)
        FROM ({_LATE_BLOCKS}) AS late
    ) AS blocks CROSS JOIN LATERAL jsonb_array_elements(records) AS alike
    GROUP BY 1, 2, 3
"""  # noqa: S608
"""How many source records have the same letters, for each cause: `letters` has the status by worker."""

_LETTERS_OF_ONE = f"""
    SELECT shared.fingerprint, shared.reason, one.key AS worker, one.value::{STATUS_TYPE} AS status,
        one.value::{STATUS_TYPE} AS status_now
    FROM jsonb_each_text(shared.letters) AS one
"""  # noqa: S608


class Cause(NamedTuple):
    """What the letters of one group have in common."""

    fingerprint: str
    reason: str


async def repeated_records(
    connection: Connection, selection: Selection, answered_by: datetime, causes: Iterable[Cause]
) -> Mapping[Cause, int]:
    """For each of these causes, how many letters of the selection are about a source record that an earlier letter of
    the cause in the selection is about, too. A cause without such letters may be missing.

    `causes`: those of several workers; each letter of a worker is about another record.
    """
    fingerprints = sorted({cause.fingerprint for cause in causes})
    if not fingerprints:
        return {}
    parameters: list[Any] = [answered_by, fingerprints]
    condition = selection.where(parameters)
    query = _from_totals(condition) if has_totals(selection) else _from_letters(condition)
    rows = await connection.fetch(query, *parameters)
    return {Cause(row["fingerprint"], row["reason"]): row["repeated"] for row in rows}


def _from_totals(condition: str) -> str:
    return f"""
        SELECT fingerprint, reason, sum(records * (chosen - 1))::bigint AS repeated
        FROM ({_SHARED}) AS shared CROSS JOIN LATERAL (
            SELECT count(*) AS chosen FROM ({_LETTERS_OF_ONE}) AS letter WHERE {condition}
        ) AS of_one
        WHERE chosen > 1 GROUP BY 1, 2
    """  # noqa: S608


def _from_letters(condition: str) -> str:
    return f"""
        SELECT fingerprint, reason, sum(chosen - 1)::bigint AS repeated FROM (
            SELECT fingerprint, reason, count(DISTINCT worker) AS chosen FROM ({VISIBLE}) AS visible
            WHERE before_store AND failed_topic IS NOT NULL AND fingerprint = ANY($2) AND {condition}
            GROUP BY fingerprint, reason, failed_topic, failed_partition, failed_offset,
                substr(dead_id, length(worker) + 1)
            HAVING count(*) > 1
        ) AS record GROUP BY 1, 2
    """  # noqa: S608
