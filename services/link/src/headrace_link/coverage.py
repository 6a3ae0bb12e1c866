"""Which requests a finished read has answered already."""

from collections.abc import Iterable, Mapping

from headrace_link.log_ends import LogEnds
from headrace_link.records import Request, SweepMarker

Partition = tuple[str, int]


class Coverage:
    """For each product and sweep, the end of its partition, noted before the point is opened.

    A request below that end was published before the read, so the read saw the change that caused the request. So did
    the read of every consumer that opens the point later, which may publish over this one. An end that is noted after
    opening would skip requests whose change such a read has missed; an earlier end is safe, but skips fewer requests.
    """

    def __init__(self, log_ends: LogEnds) -> None:
        self._log_ends = log_ends
        self._ends: dict[Partition, dict[str, int]] = {}

    async def ends(self, requests: Iterable[Request | SweepMarker]) -> Mapping[Partition, int]:
        """The present end of each partition that these came from. Raises Unavailable."""
        return await self._log_ends.of(_partition(asked) for asked in requests)

    def covers(self, asked: Request | SweepMarker) -> bool:
        """Whether a finished read was later than the request and answers it."""
        ends = self._ends.get(_partition(asked), {})
        return asked.answered_by_read and asked.arrival.offset < ends.get(_name(asked), 0)

    def note(self, answered: Iterable[Request | SweepMarker], ends: Mapping[Partition, int]) -> None:
        """Notes that these were read after `ends`, and that the result is published and the points are closed."""
        for asked in answered:
            partition = _partition(asked)
            if partition in ends:
                of_partition = self._ends.setdefault(partition, {})
                # The newest entry goes last, so that the first entries have the lowest ends.
                of_partition[_name(asked)] = max(ends[partition], of_partition.pop(_name(asked), 0))

    def forget(self, taken: Iterable[Request | SweepMarker]) -> None:
        """Removes the ends that cover no later request, now that these were taken: offsets only grow."""
        newest: dict[Partition, int] = {}
        for asked in taken:
            partition = _partition(asked)
            newest[partition] = max(asked.arrival.offset, newest.get(partition, 0))
        for partition, offset in newest.items():
            ends = self._ends.get(partition, {})
            while ends and ends[first := next(iter(ends))] <= offset:
                del ends[first]


def _partition(asked: Request | SweepMarker) -> Partition:
    return asked.arrival.topic, asked.arrival.partition


def _name(asked: Request | SweepMarker) -> str:
    return f"{asked.kind} {asked.id}"
