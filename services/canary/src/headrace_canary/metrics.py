"""The Prometheus metrics of the canary, in a registry of its own."""

from collections.abc import Sequence
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import Collector

from headrace_canary.rounds import Shown
from headrace_runtime.exposition import page
from headrace_runtime.health import Health
from headrace_runtime.metrics import process_registry
from headrace_schemas.fields import RecordKind

BOUNDS = (
    0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 7.5, 10, 15, 20, 30, 60, 120, 300, 900, 3600,
)  # fmt: skip
"""Upper bounds of the buckets, seconds. Finer steps than the 50 ms between two searches would show nothing."""
LINKS: RecordKind = "product_links"
NAME = "canary"


class CanaryMetrics:
    """`healths`: of this process. `objective`: seconds; a bucket ends there, which tells how many changes were within
    it. `lags`: reads the lag of the consumer groups at a scrape.
    """

    def __init__(
        self, healths: Sequence[Health], objective: float, lags: Collector, revision: str | None = None
    ) -> None:
        self.registry = own = process_registry(NAME, healths, revision)
        bounds = sorted({*BOUNDS, objective})
        Gauge(
            "headrace_freshness_objective_seconds",
            "Seconds within which a search is to find 99 % of the changes",
            registry=own,
        ).set(objective)
        own.register(lags)
        self._searchable = Histogram(
            "headrace_searchable_seconds",
            "Seconds from the publication of a change until a search shows it",
            ["store", "kind", "change"],
            buckets=bounds,
            registry=own,
        )
        self._searchable_links = Histogram(
            "headrace_searchable_links_seconds",
            "Seconds from the publication of a keyword's change until a search for links shows it",
            ["store", "change"],
            buckets=bounds,
            registry=own,
        )
        self._last_seen = Gauge(
            "headrace_canary_last_seen_timestamp_seconds",
            "When a search found the newest canary last",
            ["store", "kind"],
            registry=own,
        )
        self._rounds = Counter(
            "headrace_canary_rounds",
            "Changes that a search showed in time (found), or did not (missing)",
            ["store", "kind", "result"],
            registry=own,
        )

    def page(self, accept: str) -> tuple[bytes, str]:
        """The page of all metrics, for the value of a request's header Accept, and its content type."""
        return page(NAME, self.registry, accept)

    def expect(self, store: str, kind: RecordKind) -> None:
        """Both counts exist from the start, so that their rates do too."""
        results: tuple[Literal["found"], Literal["missing"]] = ("found", "missing")
        for result in results:
            self._rounds.labels(store, kind, result)

    def shown(self, store: str, kind: RecordKind, shown: Shown) -> None:
        """A search shows this change."""
        if kind == LINKS:
            self._searchable_links.labels(store, shown.change).observe(shown.seconds)
        else:
            self._searchable.labels(store, kind, shown.change).observe(shown.seconds)
        if not shown.late:
            self._rounds.labels(store, kind, "found").inc()

    def missing(self, store: str, kind: RecordKind, changes: int) -> None:
        """So many changes have become missing."""
        self._rounds.labels(store, kind, "missing").inc(changes)

    def seen(self, store: str, kind: RecordKind) -> None:
        """A search finds the canary now."""
        self._last_seen.labels(store, kind).set_to_current_time()

    def forget_seen(self) -> None:
        """Another copy measures from now on."""
        self._last_seen.clear()
