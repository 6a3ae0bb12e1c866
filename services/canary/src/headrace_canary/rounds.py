"""Which changes of the canary a search has shown, and after how long. Decides without input or output."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from headrace_schemas.fields import Op

MOST = 1000
"""Changes that are waited for. Older ones are counted as missing already, and are no longer measured."""


@dataclass(frozen=True, slots=True)
class Round:
    """One published change. `published`: seconds on the monotonic clock."""

    version: int
    change: Op
    published: float


@dataclass(frozen=True, slots=True)
class Shown:
    """A change that a search shows now. `seconds`: since its publication. `late`: it was counted as missing before."""

    change: Op
    seconds: float
    late: bool


class Rounds:
    """The changes that one search has not shown yet, oldest first.

    `missing_after`: seconds from the publication until a change counts as missing.
    """

    def __init__(self, missing_after: float) -> None:
        self._missing_after = missing_after
        self._open: deque[Round] = deque()
        self._missing_up_to = 0
        self._any, self._none = asyncio.Event(), asyncio.Event()
        self._none.set()

    def __bool__(self) -> bool:
        """Whether there is a change to wait for."""
        return bool(self._open)

    @property
    def oldest(self) -> float:
        """When the oldest of them was published."""
        return self._open[0].published

    async def some(self) -> None:
        """Returns as soon as there is a change to wait for."""
        await self._any.wait()

    async def settled(self) -> None:
        """Returns as soon as there is none."""
        await self._none.wait()

    def add(self, published: Round) -> None:
        """A change was published."""
        self._open.append(published)
        if len(self._open) > MOST:
            self._open.popleft()
            # A delete is measured only if the change before it was shown.
            while self._open and self._open[0].change == "delete":
                self._open.popleft()
        self._changed()

    def clear(self) -> None:
        """Waits for none of them any more."""
        self._open.clear()
        self._changed()

    def see(self, found: int | None, now: float) -> Sequence[Shown]:
        """What a search at `now` shows for the first time: its version of the canary, or None if it finds none.

        A version shows all changes up to it. No canary shows a delete, but only if every change before it was shown:
        otherwise the search may not have found the canary yet.
        """
        visible = found or 0
        if found is None and self._open and self._open[0].change == "delete":
            visible = self._open[0].version
        shown = []
        while self._open and self._open[0].version <= visible:
            seen = self._open.popleft()
            shown.append(Shown(seen.change, now - seen.published, seen.version <= self._missing_up_to))
        self._changed()
        return shown

    def missing(self, now: float) -> int:
        """How many changes have become missing since the last call."""
        late = [one for one in self._open if one.version > self._missing_up_to and self._is_late(one, now)]
        if late:
            self._missing_up_to = late[-1].version
        return len(late)

    def _changed(self) -> None:
        full, empty = (self._any, self._none) if self._open else (self._none, self._any)
        full.set()
        empty.clear()

    def _is_late(self, one: Round, now: float) -> bool:
        return now - one.published > self._missing_after
