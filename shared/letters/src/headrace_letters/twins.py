"""Letters of several workers for one source record that is itself wrong.

Each worker that reads a record that cannot be decoded writes a letter. An operator decides about the record, so a
decision about one of these letters is a decision about all of them. A letter of a change that a store refused is not
one of them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from headrace_clients.postgres import Connection
from headrace_letters.letter import Letter
from headrace_letters.merge_statements import LETTERS
from headrace_letters.selection import STATUS_TYPE, Status

# A topic that was created again has other records at the same positions. The id ends with the record's timestamp.
_RECORD = "substr({0}.dead_id, length({0}.worker) + 1)"

_SAME_RECORD = f"""
    (twin.failed_topic, twin.failed_partition, twin.failed_offset)
        = (chosen.failed_topic, chosen.failed_partition, chosen.failed_offset)
    AND chosen.before_store AND twin.before_store AND twin.dead_topic IS NOT NULL
    AND {_RECORD.format("twin")} = {_RECORD.format("chosen")}
"""

TWINS = f"""
    SELECT twin.dead_id, twin.fingerprint, twin.worker, twin.reason, twin.attempts
    FROM {LETTERS} AS chosen JOIN {LETTERS} AS twin ON {_SAME_RECORD}
    WHERE chosen.dead_id = ANY($1) AND NOT twin.dead_id = ANY($1)
        AND (twin.attempts, $2::text::{STATUS_TYPE}) > (twin.status_attempt, twin.status)
"""  # noqa: S608
"""$1: ids, $2: a status. The letters of the same records with a weaker status, except those of $1."""


class Twin(NamedTuple):
    """A letter of another worker for the same source record."""

    id: str
    fingerprint: str
    worker: str
    reason: str
    attempts: int


async def twins_of(connection: Connection, ids: Sequence[str], status: Status) -> list[Twin]:
    """The twins of these letters to which a decision with this status applies, each once."""
    rows = await connection.fetch(TWINS, ids, status)
    return list({row["dead_id"]: Twin(*row) for row in rows}.values())


def record_of(letter: Letter) -> str | None:
    """Equal for two letters of one source record that is itself wrong; None if the letter's record is not."""
    return letter.id.removeprefix(letter.worker) if letter.before_store and letter.failed is not None else None
