"""The order of a replay: the newest letter of each entity first, so that a preview can predict the outcome.

Two letters of one entity share a partition of the replay topic. If the older one were first, the worker would apply it
if the two are in different polls, and supersede it if they are in one.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

from headrace_letters.index import LetterIndex
from headrace_letters.letter import Letter
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.selection import Selection, Status

REPLAYABLE: tuple[Status, ...] = ("waiting", "parked")
CHUNK = 1000

Entity = tuple[str, str | None, str]


def replayable(selection: Selection) -> Selection:
    """The letters that a replay takes: waiting ones, and parked ones if the selection names that status."""
    wanted = selection.status or ("waiting",)
    return replace(selection, status=tuple(status for status in wanted if status in REPLAYABLE))


def entity_of(letter: Letter) -> Entity | None:
    """Letters with the same value can supersede each other; None if the entity or the version is unknown."""
    if letter.entity_id is None or letter.version is None:
        return None
    return letter.worker, letter.kind, letter.entity_id


class ReplayOrder:
    """A selection in the order of its replay, in lists of up to `size`, each read on demand. Call `scan` first.

    `total`: the number of letters. `repeated`: the newest version of each entity that has several letters. For every
    other entity one hash is in memory.
    """

    def __init__(self, index: LetterIndex, selection: Selection, limit: int | None, size: int = CHUNK) -> None:
        self._index = index
        self._selection = replayable(selection)
        self._limit = limit
        self._size = size
        self.total = 0
        self.repeated: dict[Entity, int] = {}

    async def scan(self) -> None:
        """Counts the letters and finds the entities that have several."""
        seen: set[int] = set()
        again: set[int] = set()
        async for letters in self._walk():
            self.total += len(letters)
            for entity in (entity_of(found.letter) for found in letters):
                if entity is not None:
                    (again if hash(entity) in seen else seen).add(hash(entity))
        if self._limit is not None:
            self.total = min(self.total, self._limit)
        if not again:
            return
        async for letters in self._walk():
            for letter in (found.letter for found in letters):
                entity = entity_of(letter)
                if entity and hash(entity) in again and letter.version is not None:
                    self.repeated[entity] = max(letter.version, self.repeated.get(entity, 0))

    async def chunks(self) -> AsyncIterator[list[IndexedLetter]]:
        """The letters in lists, up to the limit."""
        left = self._limit
        for older in (False, True) if self.repeated else (False,):
            async for letters in self._walk(self._size):
                of_pass = [found for found in letters if self._is_older(found.letter) == older]
                taken = of_pass if left is None else of_pass[:left]
                if taken:
                    yield taken
                if left is not None:
                    left -= len(taken)
                    if not left:
                        return

    def _is_older(self, letter: Letter) -> bool:
        entity = entity_of(letter)
        if entity is None or letter.version is None:
            return False
        return letter.version < self.repeated.get(entity, 0)

    def _walk(self, size: int = CHUNK) -> AsyncIterator[list[IndexedLetter]]:
        return self._index.walk(self._selection, size=size)
