"""Reads a whole selection in the order of the topics, in parts."""

from datetime import datetime
from typing import Any

from headrace_clients.postgres import Connection
from headrace_letters.count_source import VISIBLE
from headrace_letters.letter_order import IN_INDEX_ORDER
from headrace_letters.merge_statements import LETTERS, LOCK
from headrace_letters.selection import Selection
from headrace_runtime.decoder import Position

EXPIRED_PART = 2000
"""Rows that are removed in one transaction."""
LAST_OFFSETS = f"""
    SELECT dead_topic, dead_partition, max(dead_offset) AS last FROM {LETTERS} WHERE dead_topic IS NOT NULL
    GROUP BY dead_topic, dead_partition ORDER BY dead_topic, dead_partition
"""  # noqa: S608

EXPIRED = f"""
    SELECT dead_id FROM {LETTERS}
    WHERE dead_topic = $1 AND dead_partition = $2 AND dead_offset < $3
    ORDER BY dead_offset LIMIT {EXPIRED_PART}
"""  # noqa: S608
REMOVE = f"""
    DELETE FROM {LETTERS}
    WHERE dead_id = ANY($1) AND dead_topic = $2 AND dead_partition = $3 AND dead_offset < $4
"""  # noqa: S608
"""A letter that fails again meanwhile may lie in another partition then."""


async def last_positions(connection: Connection) -> list[Position]:
    """The last indexed position of each partition, in the order of the topics."""
    return [Position(topic, partition, last) for topic, partition, last in await connection.fetch(LAST_OFFSETS)]


async def rows_between(
    connection: Connection, selection: Selection, answered_by: datetime, *, after: Position, last: int, size: int
) -> list[Any]:
    """Up to `size` rows of the partition of `after`, with greater offsets than its own, up to and including `last`."""
    parameters: list[Any] = [answered_by, *after, last]
    condition = selection.where(parameters)
    if not selection.few:
        await connection.execute(IN_INDEX_ORDER)
    rows: list[Any] = await connection.fetch(
        f"""
        SELECT * FROM ({VISIBLE}) AS visible
        WHERE dead_topic = $2 AND dead_partition = $3 AND dead_offset > $4 AND dead_offset <= $5 AND {condition}
        ORDER BY dead_offset LIMIT {size}
        """,  # noqa: S608
        *parameters,
    )
    return rows


async def remove_before(connection: Connection, first: Position) -> int:
    """Removes some rows of this partition with lower offsets; returns how many, 0 at the end. In a transaction."""
    ids = [row["dead_id"] for row in await connection.fetch(EXPIRED, *first)]
    await connection.execute(LOCK, ids)
    await connection.execute(REMOVE, ids, *first)
    return len(ids)
