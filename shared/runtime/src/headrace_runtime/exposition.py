"""The page of a worker's metrics, as Prometheus scrapes it."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class OfWorker(Collector):
    """The metrics of a registry, with the label `worker` on every sample.

    The label is added when the page is read, so that it costs nothing where something is counted. The times at which
    counters began are left out: they double the number of samples, and the process has one start.
    """

    def __init__(self, worker: str, registry: CollectorRegistry) -> None:
        self._worker = {"worker": worker}
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            labelled = Metric(family.name, family.documentation, family.type, family.unit)
            labelled.samples = [
                sample._replace(labels=self._worker | sample.labels)
                for sample in family.samples
                if not sample.name.endswith("_created")
            ]
            yield labelled


def page(worker: str, registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The page and its content type: OpenMetrics, which has exemplars, if the header `accept` asks for it, else
    Prometheus' text format.
    """
    encode, content_type = choose_encoder(accept)
    return encode(OfWorker(worker, registry)), content_type
