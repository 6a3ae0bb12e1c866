"""In which order letters are replayed: of each entity the newest first, so that a preview can say what will happen.

Two letters of one entity share a partition of the replay topic. Were the older one first, it would depend on how the
worker's polls fall whether it is applied for a moment, or superseded within its batch.
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
    """The part of a selection that a replay takes: what waits, and what is parked if that is asked for by name."""
    wanted = selection.status or ("waiting",)
    return replace(selection, status=tuple(status for status in wanted if status in REPLAYABLE))


def entity_of(letter: Letter) -> Entity | None:
    """What two letters have to share to decide about each other; None where it cannot be read."""
    if letter.entity_id is None or letter.version is None:
        return None
    return letter.worker, letter.kind, letter.entity_id


class ReplayOrder:
    """A selection in the order of its replay, in lists of up to `size`: each is looked up when it is asked for.

    `repeated`: the entities of which there is more than one letter, with the newest version of each. Of every other
    entity a hash is kept in memory.
    """

    def __init__(self, index: LetterIndex, selection: Selection, limit: int | None, size: int = CHUNK) -> None:
        self._index = index
        self._selection = replayable(selection)
        self._limit = limit
        self._size = size
        self.total = 0
        self.repeated: dict[Entity, int] = {}

    async def look(self) -> None:
        """Finds how many letters there are, and which entities are among them more than once."""
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
        """The letters, a list at a time, up to the limit. `look` comes first."""
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
