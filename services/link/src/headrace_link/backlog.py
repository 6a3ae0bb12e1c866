"""The published keywords whose receipts link has not read yet. Only the cost of linking depends on it."""

from headrace_link.log_ends import Ends, LogEnds
from headrace_worker.settings import CommonSettings
from headrace_worker.worker import group_of_model

FEW_KEYWORDS = 10
"""So many are on their way at any time. More are a load."""


class Backlog:
    """Reads the lag of the workers that handle a keyword before link does, `embed` and `qdrant`, and of link's own
    receipts.
    """

    def __init__(self, ends: LogEnds, settings: CommonSettings) -> None:
        topics = settings.topics
        qdrant = group_of_model(settings, "qdrant") if settings.groups_by_model else f"{settings.topic_prefix}qdrant"
        self._ends = ends
        self._receipts = topics.receipts
        self._receipts_group = f"{group_of_model(settings, 'link')}.receipts"
        self._upstream = (
            (group_of_model(settings, "embed"), topics.source("keyword")),
            (qdrant, topics.embedded("keyword", settings.model)),
        )
        self._pinned: Ends | None = None

    async def size(self) -> int:
        """The number of keyword changes that are not in Qdrant yet. Raises Unavailable."""
        return sum([await self._ends.left(group, await self._ends.of_topic(topic)) for group, topic in self._upstream])

    async def empty(self) -> bool:
        """Whether every keyword change is in Qdrant and its receipt was read. Raises Unavailable.

        Receipts keep coming, so their end is noted once, when no keyword change is left upstream.
        """
        if await self.size():
            self._pinned = None
            return False
        if self._pinned is None:
            self._pinned = await self._ends.of_topic(self._receipts)
        if await self._ends.left(self._receipts_group, self._pinned):
            return False
        self._pinned = None
        return True

    async def check(self, topic: str) -> None:
        """Raises Unavailable unless Kafka answers with the end of the topic."""
        await self._ends.of_topic(topic)
