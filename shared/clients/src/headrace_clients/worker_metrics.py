"""What a worker's /metrics says of delays and lag, and the quantiles of its histograms."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Series = tuple[str, Labels]
"""The name of a metric, and its labels without `worker` and `le`."""
Buckets = Mapping[float, float]
"""Upper bound in seconds to the number of observations at or below it, ascending; the last bound is infinite."""

DELAY = "headrace_publication_delay_seconds"
SEARCHABLE = "headrace_searchable_seconds"
SEARCHABLE_LINKS = "headrace_searchable_links_seconds"
LAG_SECONDS = "headrace_lag_seconds"
GROUP_LAG_SECONDS = "headrace_group_lag_seconds"
OBJECTIVE = "headrace_freshness_objective_seconds"
LAST_SEEN = "headrace_canary_last_seen_timestamp_seconds"
RECORDS = "headrace_records"
HISTOGRAMS = frozenset({DELAY, SEARCHABLE, SEARCHABLE_LINKS})
GAUGES = frozenset({LAG_SECONDS, GROUP_LAG_SECONDS, OBJECTIVE, LAST_SEEN})


@dataclass(frozen=True, slots=True)
class WorkerMetrics:
    """Only what is named above. `settled`: records by outcome since the start of the process."""

    histograms: Mapping[Series, Buckets] = field(default_factory=dict)
    gauges: Mapping[Series, float] = field(default_factory=dict)
    settled: Mapping[str, int] = field(default_factory=dict)

    def values(self, name: str) -> dict[Labels, float]:
        """The values of a gauge by its labels."""
        return {labels: value for (of, labels), value in self.gauges.items() if of == name}


def read_metrics(body: bytes) -> WorkerMetrics:
    """The body of /metrics in Prometheus' text format. Raises ValueError if it is something else."""
    histograms: dict[Series, dict[float, float]] = {}
    gauges: dict[Series, float] = {}
    settled: dict[str, int] = {}
    for family in text_string_to_metric_families(body.decode(errors="replace")):
        for sample in family.samples:
            series = family.name, frozenset((k, v) for k, v in sample.labels.items() if k not in ("worker", "le"))
            if family.name in HISTOGRAMS and sample.name.endswith("_bucket"):
                histograms.setdefault(series, {})[float(sample.labels["le"])] = sample.value
            elif family.name in GAUGES:
                gauges[series] = sample.value
            elif family.name == RECORDS and sample.name == f"{RECORDS}_total":
                outcome = sample.labels.get("outcome", "")
                settled[outcome] = settled.get(outcome, 0) + int(sample.value)
    ascending = {series: dict(sorted(buckets.items())) for series, buckets in histograms.items()}
    return WorkerMetrics(ascending, gauges, settled)


def quantile(buckets: Buckets, share: float) -> float | None:
    """The seconds below which this share of the observations is, as Prometheus' histogram_quantile estimates them.

    None without an observation; infinite if it is above the last finite bound.
    """
    total = max(buckets.values(), default=0.0)
    if total <= 0:
        return None
    rank, lower, below = share * total, 0.0, 0.0
    for bound, count in buckets.items():
        if count >= rank and count > below:
            return math.inf if math.isinf(bound) else lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return math.inf


def added(all_buckets: Iterable[Buckets]) -> Buckets:
    """The observations of several histograms together. Bounds that one of them lacks count as its next lower one."""
    found = [buckets for buckets in all_buckets if buckets]
    bounds = sorted({bound for buckets in found for bound in buckets})
    total = dict.fromkeys(bounds, 0.0)
    for buckets in found:
        at = 0.0
        for bound in bounds:
            at = buckets.get(bound, at)
            total[bound] += at
    return total


def since(now: Buckets, before: Buckets | None) -> Buckets:
    """The observations between two readings of one process. After a restart of the process, those since its start."""
    if before is None or any(now.get(bound, 0.0) < count for bound, count in before.items()):
        return now
    return {bound: count - before.get(bound, 0.0) for bound, count in now.items()}
