"""A histogram that observes a whole batch in one call."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import Exemplar, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class BatchHistogram(Collector):
    """Observes all values of a batch at once: they are sorted, and each bucket counts with one binary search.

    `label`: the name of its one label. `bounds`: upper bounds of the buckets, ascending.
    """

    def __init__(self, name: str, about: str, label: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._about = about
        self._label = label
        self._bounds = bounds
        # Like the buckets of the page, each count includes those below it.
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        self._exemplars: dict[str, dict[int, Exemplar]] = {}

    def observe(self, of: str, values: Iterable[float], example: Exemplar | None = None) -> None:
        """Adds the values of a batch. `of`: the value of the label. `example`: one of the values, with its trace."""
        ordered = sorted(values)
        counts = self._counts.setdefault(of, [0] * (len(self._bounds) + 1))
        for at, bound in enumerate(self._bounds):
            counts[at] += bisect_right(ordered, bound)
        counts[-1] += len(ordered)
        self._sums[of] = self._sums.get(of, 0.0) + sum(ordered)
        if example is not None:
            self._exemplars.setdefault(of, {})[bisect_left(self._bounds, example.value)] = example

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The result of a scrape: each bucket counts the values at or below its bound."""
        family = HistogramMetricFamily(self._name, self._about, labels=[self._label])
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for of, counts in self._counts.items():
            examples = self._exemplars.get(of, {})
            buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
            for at, (name, total) in enumerate(zip(names, counts, strict=True)):
                buckets.append((name, total, examples[at]) if at in examples else (name, total))
            family.add_metric([of], buckets, self._sums[of])
        yield family
