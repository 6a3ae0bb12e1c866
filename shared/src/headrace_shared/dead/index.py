"""The index of dead letters in PostgreSQL. The topics stay the truth: it can be made again from them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from headrace_shared.dead.letter import Letter
from headrace_shared.dead.selection import EVERYTHING, Selection, Status
from headrace_shared.runtime.items import Position
from headrace_shared.settings import PostgresSettings

REPLAYING_FOR = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt of a letter."""

    attempt: int
    failed_at: datetime
    reason: str
    fingerprint: str
    error: str
    at: Position


@dataclass(frozen=True, slots=True)
class IndexedLetter:
    """A letter as the index has it. `failures`: all attempts known, oldest first, the newest included.

    `replayed_at`: when this attempt was last replayed. `superseded_by`: the version that took its place, if known.
    """

    letter: Letter
    status: Status
    replayed_at: datetime | None
    superseded_by: int | None
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receipt says of a replay: the letter's attempt `attempt` has been replayed with this end."""

    dead_id: str
    attempt: int
    status: Literal["resolved", "superseded"]


@dataclass(frozen=True, slots=True)
class Group:
    """The letters of one cause. `counts`: by status, those with none left out. `series`: failures in equal steps of
    time, the last of them ending now.
    """

    fingerprint: str
    worker: str
    reason: str
    counts: Mapping[Status, int]
    first_seen: datetime
    last_seen: datetime
    sample_id: str
    sample_error: str
    series: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Letters, newest failure first. `next`: give it to `page` as `after`; None on the last page."""

    letters: Sequence[IndexedLetter]
    next: str | None


ActionName = Literal["replay", "park", "discard", "export", "import"]


@dataclass(frozen=True, slots=True)
class Action:
    """What an operator does: who, what, to which letters, why."""

    actor: str
    name: ActionName
    selection: Selection
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An action as it is recorded. `outcome` and `finished_at` are None while it runs, and if it was killed."""

    number: int
    at: datetime
    actor: str
    name: str
    selection: Mapping[str, object]
    reason: str
    count: int
    outcome: str | None
    finished_at: datetime | None


class LetterIndex:
    """Every method raises Unavailable when PostgreSQL does not answer, or `headrace stores apply` has not been run."""

    def __init__(
        self, settings: PostgresSettings, *, replaying_for: timedelta = REPLAYING_FOR, connections: int = 4
    ) -> None:
        raise NotImplementedError

    async def prepare(self) -> list[str]:
        """Creates or migrates the tables; safe to repeat, also twice at once. One line for each thing made."""
        raise NotImplementedError

    async def close(self) -> None:
        """Closes the connections."""
        raise NotImplementedError

    # What the worker and reindex write

    async def put_letters(self, letters: Sequence[Letter]) -> None:
        """Folds letters into the index, in any order and as often as wanted."""
        raise NotImplementedError

    async def settle(self, answers: Sequence[Answer]) -> None:
        """Folds what receipts say into the index, also of letters that it has not seen yet."""
        raise NotImplementedError

    # What operators look at

    async def groups(
        self, selection: Selection = EVERYTHING, *, window: timedelta = timedelta(hours=24), steps: int = 24
    ) -> list[Group]:
        """The selection by cause, the largest first."""
        raise NotImplementedError

    async def count(self, selection: Selection) -> dict[Status, int]:
        """How many letters there are of each status; those with none are left out."""
        raise NotImplementedError

    async def page(self, selection: Selection, *, limit: int = 50, after: str | None = None) -> Page:
        """Raises ValueError for an `after` that no page has given."""
        raise NotImplementedError

    async def get(self, ids: Sequence[str]) -> dict[str, IndexedLetter]:
        """By id; an unknown one is missing from the answer."""
        raise NotImplementedError

    def walk(self, selection: Selection, *, size: int = 500) -> AsyncIterator[list[IndexedLetter]]:
        """The whole selection in the order of the topics (topic, partition, offset), a list at a time.

        Ends at what is in the index when it begins: a letter that fails again meanwhile does not come a second time.
        No transaction stays open between two lists, so that a walk may last for hours.
        """
        raise NotImplementedError

    # What operators do. Every action is recorded first.

    async def begin(self, action: Action) -> int:
        """Records that an action begins; its number."""
        raise NotImplementedError

    async def finish(self, number: int, count: int, outcome: str) -> None:
        """Records how an action ended: over how many letters, and in one line with what."""
        raise NotImplementedError

    async def mark_replaying(self, action: int, letters: Sequence[Letter]) -> None:
        """Their replays of these attempts are acknowledged by the broker."""
        raise NotImplementedError

    async def mark_superseded(self, action: int, letter: Letter, by: int) -> None:
        """An edited record of this version has been published in the letter's place."""
        raise NotImplementedError

    async def park(self, action: Action) -> int:
        """Sets the selection aside; how many letters changed. In one transaction with its record."""
        raise NotImplementedError

    async def discard(self, action: Action) -> int:
        """Gives the selection up; how many letters changed. In one transaction with its record."""
        raise NotImplementedError

    async def audit(self, *, limit: int = 50, before: int | None = None) -> list[AuditRow]:
        """The newest actions first; `before`: only those with a lower number."""
        raise NotImplementedError

    async def actions_on(self, dead_id: str) -> list[AuditRow]:
        """The actions that changed this letter, oldest first."""
        raise NotImplementedError
