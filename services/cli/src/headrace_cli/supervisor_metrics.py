"""The supervisor's metrics: which workers run, and how often each was started again."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from headrace_cli.errors import CommandError
from headrace_cli.supervisor import Supervisor

HOST = "127.0.0.1"


class SupervisorMetrics(Collector):
    """The state of a supervisor at each scrape."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("headrace_supervisor_worker_up", "1 while the process runs", labels=["worker"])
        restarts = CounterMetricFamily("headrace_supervisor_restarts", "How often it started again", labels=["worker"])
        for worker, count in self._supervisor.restarts.items():
            up.add_metric([worker], worker in self._supervisor.running)
            restarts.add_metric([worker], count)
        yield up
        yield restarts


@contextmanager
def served(supervisor: Supervisor, port: int | None) -> Iterator[None]:
    """Answers `/metrics` on this port of this machine until the end of the block; None: it does not.

    Raises CommandError if the port is taken.
    """
    if port is None:
        yield
        return
    registry = CollectorRegistry()
    registry.register(SupervisorMetrics(supervisor))
    try:
        server, thread = start_http_server(port, HOST, registry)
    except OSError as error:
        raise CommandError(
            f"HEADRACE_HTTP__SUPERVISOR_PORT={port} cannot be used: {error.strerror}; choose another port"
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
