"""The Prometheus metrics of the worker `verify`, in a registry of its own."""

from collections import Counter as Counts
from collections.abc import Mapping, Sequence

from prometheus_client import Counter, Gauge

from headrace_expected.differences import Difference
from headrace_runtime.exposition import page
from headrace_runtime.health import Health
from headrace_runtime.metrics import process_registry

NAME = "verify"


class VerifyMetrics:
    """`healths`: of this process. `cycle`: seconds in which every store is to be compared."""

    def __init__(self, healths: Sequence[Health], cycle: float, revision: str | None = None) -> None:
        self.registry = own = process_registry(NAME, healths, revision)
        Gauge("headrace_verify_cycle_seconds", "Seconds in which every store is to be compared once", registry=own).set(
            cycle
        )
        self._differences = Gauge(
            "headrace_verify_differences",
            "Differences of the last complete comparison of a store, or of the running one if it has found more",
            ["store", "difference"],
            registry=own,
        )
        self._compared = Counter(
            "headrace_verify_compared", "Entities and link sets that were compared", ["store"], registry=own
        )
        self._complete = Gauge(
            "headrace_verify_last_complete_timestamp_seconds",
            "When everything that a store holds was last compared",
            ["store"],
            registry=own,
        )
        self._last: dict[str, Mapping[str, int]] = {}

    def page(self, accept: str) -> tuple[bytes, str]:
        """The page of all metrics, for the value of a request's header Accept, and its content type."""
        return page(NAME, self.registry, accept)

    def found(self, store: str, compared: int, counts: Mapping[str, int]) -> None:
        """A slice was compared. `counts`: the differences of the running comparison so far."""
        self._compared.labels(store).inc(compared)
        last = self._last.get(store, {})
        self._show(store, {one: max(last.get(one, 0), counts.get(one, 0)) for one in Difference})

    def complete(self, store: str, counts: Mapping[str, int]) -> None:
        """Everything of the store was compared, and is known to be right or wrong."""
        self._last[store] = dict(counts)
        self._show(store, Counts({one: counts.get(one, 0) for one in Difference}))
        self._complete.labels(store).set_to_current_time()

    def forget(self) -> None:
        """Another copy compares from now on."""
        self._last.clear()
        self._differences.clear()
        self._complete.clear()

    def _show(self, store: str, counts: Mapping[Difference, int]) -> None:
        for difference, count in counts.items():
            self._differences.labels(store, difference.value).set(count)
