"""The keywords that were published and that link has not heard of yet. It decides about cost alone."""

from headrace_link.log_ends import Ends, LogEnds
from headrace_schemas.topics import Topics


class Backlog:
    """Looks at the workers that handle a keyword before link hears of it: `embed` and `qdrant`."""

    def __init__(self, ends: LogEnds, topics: Topics, model: str) -> None:
        self._ends = ends
        self._receipts = topics.receipts
        self._listener = f"{topics.prefix}link.receipts"
        self._before = (
            (f"{topics.prefix}embed", topics.source("keyword")),
            (f"{topics.prefix}qdrant", topics.embedded("keyword", model)),
        )
        self._pinned: Ends | None = None

    async def size(self) -> int:
        """How many keyword changes are not in Qdrant yet. Raises Unavailable."""
        return sum([await self._ends.left(group, await self._ends.of_topic(topic)) for group, topic in self._before])

    async def empty(self) -> bool:
        """Whether every keyword was handled and its receipt read. Raises Unavailable.

        Receipts come all the time: their end is pinned when the workers before have come to theirs.
        """
        if await self.size():
            self._pinned = None
            return False
        if self._pinned is None:
            self._pinned = await self._ends.of_topic(self._receipts)
        if await self._ends.left(self._listener, self._pinned):
            return False
        self._pinned = None
        return True
