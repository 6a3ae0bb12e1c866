"""The state of a worker as metrics, read from its health at each scrape."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from headrace_runtime.health import Health


def ready(parts: Sequence[Health]) -> bool:
    """Whether the worker is ready: every consumer group of it is alive and has no problem."""
    return all(part.alive() and not part.open_problems() for part in parts)


class WorkerState(Collector):
    """`parts`: the health of each consumer group of the worker."""

    def __init__(self, parts: Sequence[Health]) -> None:
        self._parts = parts

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """A problem is a sample as long as it is open, and none afterwards."""
        yield GaugeMetricFamily("headrace_ready", "1 if /readyz answers 200", value=float(ready(self._parts)))
        assigned = sum(part.assigned for part in self._parts)
        yield GaugeMetricFamily("headrace_partitions_assigned", "Partitions that this copy reads", value=assigned)
        problems = GaugeMetricFamily("headrace_problem", "1 while this problem is open", labels=["kind", "subject"])
        for kind, subject in sorted({(one.kind, one.subject) for part in self._parts for one in part.open_problems()}):
            problems.add_metric([kind, subject], 1)
        yield problems
