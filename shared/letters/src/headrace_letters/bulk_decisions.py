"""Parks or discards a whole selection in parts, each in a transaction of its own.

One transaction over a large selection would exceed the time limit of a statement and change nothing. A decision changes
exactly the letters that were counted before: a letter that arrives or fails again after the count is not touched. After
a kill, a new count and decision take the rest.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, NamedTuple

from headrace_clients.postgres import Connection
from headrace_letters import actions
from headrace_letters.actions import ActionName
from headrace_letters.count_source import VISIBLE
from headrace_letters.letter_order import Place, newest
from headrace_letters.selection import RANKS, STATUSES, Selection
from headrace_letters.twins import Twin, twins_of

PART = 2000
"""Letters of a selection in one transaction."""
COLUMNS = "dead_id, fingerprint, worker, reason, attempts, failed_at, number"
DecidedStatus = Literal["parked", "discarded"]
STATUS_OF: Mapping[ActionName, DecidedStatus] = {"park": "parked", "discard": "discarded"}


class Cause(NamedTuple):
    """One cause at one worker."""

    fingerprint: str
    reason: str
    worker: str


@dataclass(slots=True)
class Touched:
    """How many letters a decision about a selection changes, by cause and worker. `chosen`: letters of the selection.
    `twins`: letters of other workers for the same source records. `parts`: all of them, each as (id, attempt).
    """

    chosen: Counter[Cause] = field(default_factory=Counter)
    twins: Counter[Cause] = field(default_factory=Counter)
    parts: list[Sequence[tuple[str, int]]] = field(default_factory=list, repr=False)
    _twins: set[str] = field(default_factory=set, repr=False)

    @property
    def letters(self) -> int:
        return self.chosen.total() + self.twins.total()

    def add(self, part: "Part") -> None:
        """Counts a part of the selection."""
        self.chosen.update(Cause(one.fingerprint, one.reason, one.worker) for one in part.letters)
        new = [twin for twin in part.twins if twin.id not in self._twins]
        self.twins.update(Cause(twin.fingerprint, twin.reason, twin.worker) for twin in new)
        self._twins.update(twin.id for twin in new)
        self.parts.append([(one.id, one.attempts) for one in (*part.letters, *new)])


class Part(NamedTuple):
    """Letters of a selection, and their twins that the selection does not have. `last`: the place of the last one."""

    letters: Sequence[Twin]
    twins: Sequence[Twin]
    last: Place


async def part_after(
    connection: Connection, selection: Selection, status: DecidedStatus, answered_by: datetime, after: Place | None
) -> Part | None:
    """The letters after a place that have a weaker status than this one; None at the end. In a transaction."""
    weaker = tuple(one for one in selection.status or STATUSES if RANKS[one] < RANKS[status])
    chosen = replace(selection, status=weaker)
    rows = await newest(connection, chosen, answered_by, limit=PART, after=after, columns=COLUMNS)
    if not rows:
        return None
    letters = [Twin(*row[:5]) for row in rows]
    twins = await twins_of(connection, [letter.id for letter in letters], status)
    twins = await _outside(connection, chosen, answered_by, twins)
    return Part(letters, twins, Place(rows[-1]["failed_at"], rows[-1]["number"]))


async def decide_part(
    connection: Connection, action: int, part: Sequence[tuple[str, int]], status: DecidedStatus, before: int
) -> int:
    """Gives the status to a part; returns how many letters the action has changed so far. In a transaction.

    `part`: letters, each as (id, attempt). `before`: the number before this part.
    """
    count = before + await actions.decide_weaker(connection, action, part, status)
    await actions.counted(connection, action, count)
    return count


async def _outside(
    connection: Connection, selection: Selection, answered_by: datetime, twins: Sequence[Twin]
) -> list[Twin]:
    """The twins that the selection does not have."""
    parameters: list[object] = [answered_by, [twin.id for twin in twins]]
    condition = selection.where(parameters)
    rows = await connection.fetch(
        f"SELECT dead_id FROM ({VISIBLE}) AS visible WHERE dead_id = ANY($2) AND {condition}",  # noqa: S608
        *parameters,
    )
    inside = {row["dead_id"] for row in rows}
    return [twin for twin in twins if twin.id not in inside]
