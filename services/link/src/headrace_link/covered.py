"""Which requests a finished read has answered already."""

from collections.abc import Iterable, Mapping

from headrace_link.records import Request, SweepMarker

Partition = tuple[str, int]


class Covered:
    """For each thing asked for, the end of its partition as it was noted after opening and before reading.

    A request below that end was published before the read, so what it is about was visible to the read. Later ends
    would skip what the read may have missed; an earlier one only skips less.
    """

    def __init__(self) -> None:
        self._ends: dict[Partition, dict[str, int]] = {}

    def covers(self, asked: Request | SweepMarker) -> bool:
        """Whether a read that has finished was later than the request."""
        where = asked.arrival
        ends = self._ends.get((where.topic, where.partition), {})
        return not where.replayed and where.offset < ends.get(_name(asked), 0)

    def note(self, answered: Iterable[Request | SweepMarker], ends: Mapping[Partition, int]) -> None:
        """These were read after `ends` had been noted, and are published and closed."""
        for asked in answered:
            partition = (asked.arrival.topic, asked.arrival.partition)
            if partition in ends:
                of_partition = self._ends.setdefault(partition, {})
                # Put last, so that the first have the lowest ends.
                of_partition[_name(asked)] = max(ends[partition], of_partition.pop(_name(asked), 0))

    def forget(self, taken: Iterable[Request | SweepMarker]) -> None:
        """Forgets what no request can meet any more, now that these were taken: offsets only grow."""
        newest: dict[Partition, int] = {}
        for asked in taken:
            partition = (asked.arrival.topic, asked.arrival.partition)
            newest[partition] = max(asked.arrival.offset, newest.get(partition, 0))
        for partition, offset in newest.items():
            ends = self._ends.get(partition, {})
            while ends and ends[first := next(iter(ends))] <= offset:
                del ends[first]


def _name(asked: Request | SweepMarker) -> str:
    return f"{asked.kind} {asked.id}"
