"""The delays of the last hours, from histograms that are read again and again. Its memory is bounded."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace_clients.worker_metrics import Buckets, Series, WorkerMetrics, added, since

STEP_SECONDS = 60.0
KEPT_STEPS = 360
"""Six hours."""
MOST_SERIES = 200

Key = tuple[str, Series]
"""The worker, the metric and its labels."""


@dataclass(slots=True)
class _Steps:
    """The observations of each step, newest last."""

    steps: deque[tuple[int, Buckets]] = field(default_factory=lambda: deque(maxlen=KEPT_STEPS))

    def add(self, step: int, buckets: Buckets) -> None:
        if self.steps and self.steps[-1][0] == step:
            self.steps[-1] = step, added([self.steps[-1][1], buckets])
        else:
            self.steps.append((step, buckets))


class DelayHistory:
    """Adds up the observations of all copies of a worker. Times are seconds on one monotonic clock."""

    def __init__(self) -> None:
        self._last: dict[str, Mapping[Series, Buckets]] = {}
        self._series: dict[Key, _Steps] = {}

    def put(self, now: float, worker: str, copies: Mapping[str, WorkerMetrics]) -> None:
        """A reading of a worker: the metrics of each copy that answered, by its address.

        What a copy observed before its first reading does not count, because it is not known when that was.
        """
        for address, read in copies.items():
            before = self._last.get(address)
            self._last[address] = read.histograms
            if before is None:
                continue
            for series, buckets in read.histograms.items():
                grown = since(buckets, before.get(series))
                key = worker, series
                if max(grown.values(), default=0) > 0 and (key in self._series or len(self._series) < MOST_SERIES):
                    self._series.setdefault(key, _Steps()).add(int(now // STEP_SECONDS), grown)

    def forget_others(self, addresses: set[str]) -> None:
        """Copies other than these do not run any more."""
        self._last = {address: read for address, read in self._last.items() if address in addresses}

    def window(self, now: float, seconds: float, wanted: list[Key]) -> Buckets:
        """The observations of these series in the last `seconds`, in whole steps."""
        first = int((now - seconds) // STEP_SECONDS) + 1
        return self._between(wanted, first, int(now // STEP_SECONDS))

    def series(self, now: float, columns: int, steps: int, wanted: list[Key]) -> list[Buckets]:
        """The observations of these series in `columns` times `steps` steps, oldest first."""
        last = int(now // STEP_SECONDS)
        ends = [last - steps * back for back in range(columns - 1, -1, -1)]
        return [self._between(wanted, end - steps + 1, end) for end in ends]

    def observed(self) -> list[Key]:
        """Every series that has observations."""
        return list(self._series)

    def _between(self, wanted: list[Key], first: int, last: int) -> Buckets:
        found = [self._series[key].steps for key in wanted if key in self._series]
        return added(buckets for steps in found for step, buckets in steps if first <= step <= last)
