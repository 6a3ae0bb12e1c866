"""The link sets that expired before a worker read them, and the sweep that replaces them."""

from headrace_link.log_ends import Ends, LogEnds
from headrace_link.records import SweepMarker


class ExpiredSets:
    """The ends of the topic of link sets, noted before the last explicit sweep. The sweep publishes every set after
    them, so it replaces all sets that expired below them. `topic`: of link sets.
    """

    def __init__(self, log_ends: LogEnds, topic: str) -> None:
        self._log_ends = log_ends
        self._topic = topic
        self._noted: Ends = {}

    async def ends(self) -> Ends:
        """The present ends. Raises Unavailable."""
        return await self._log_ends.of_topic(self._topic)

    def note(self, ends: Ends) -> None:
        """Notes that the requests of an explicit sweep of all products were published after these ends."""
        self._noted = ends

    def replaced(self, marker: SweepMarker) -> bool:
        """Whether that sweep replaces all sets that the marker asks to replace: several readers ask for the same."""
        noted = {place.partition: end for place, end in self._noted.items()}
        expired = marker.expired or {}
        return bool(expired) and all(first <= noted.get(partition, -1) for partition, first in expired.items())
