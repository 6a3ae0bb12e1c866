"""The cost of metrics and traces: the CPU time of the runtime with a stage that does nothing, all in one run."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import patch

from benchmarks.measurement import Figure, worker_rate
from benchmarks.runtime import opened
from benchmarks.topics import changes, fill, fresh_topics
from headrace_runtime.reporter import Reporter
from headrace_schemas.changes import ProductChange
from headrace_worker.settings import WorkerSettings
from headrace_worker.worker import Worker

ROUNDS = 5


@dataclass(frozen=True)
class Variant:
    """One way to run the worker. `share`: of the traces that are sampled; None without an endpoint."""

    name: str
    within: Callable[[], AbstractContextManager[object]] = ExitStack
    share: float | None = None


@contextmanager
def _without_metrics() -> Iterator[None]:
    """The worker reports that a batch is settled, and nothing of it. Its other metrics cost nothing for a record."""

    def settled(reporter: Reporter, *_: object, now: datetime, seconds: float, **__: object) -> None:
        reporter.counted({}, now=now, seconds=seconds)

    with patch.object(Reporter, "settled", settled), patch.object(Reporter, "steps", lambda *_: None):
        yield


VARIANTS = (
    Variant("no metrics", _without_metrics),
    Variant("metrics"),
    Variant("metrics, 1 % of the traces", share=0.01),
    Variant("metrics, every trace", share=1.0),
)


async def run(settings: WorkerSettings, records: int) -> list[Figure]:
    """The least CPU time of the rounds for each variant, which other work on the machine disturbs least; the variants
    take turns. The times include the export of spans, and not the work of the collector.
    """
    settings = await fresh_topics(settings, "nothing")
    topic = settings.topics.source("product")
    await fill(settings, topic, changes(records, 1, "r"))
    worker = Worker("nothing", WorkerSettings, lambda of: {topic: ProductChange}, opened)
    least = {variant.name: float("inf") for variant in VARIANTS}
    with _collector() as endpoint:
        for number in range(ROUNDS):
            for variant in VARIANTS if number % 2 else VARIANTS[::-1]:
                own = await fresh_topics(settings, "nothing")
                own.telemetry.otlp_endpoint = endpoint if variant.share is not None else None
                # The records wait longer than a slow change: each batch would export a hundred of them.
                own.telemetry.slow_after = 86_400
                sampler = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": str(variant.share or 0)}
                with variant.within(), patch.dict(os.environ, sampler):
                    began = time.process_time()
                    await worker_rate(worker, own, records)
                    used = time.process_time() - began
                least[variant.name] = min(least[variant.name], used / records * 1e6)
    return [Figure(f"CPU time of the runtime for a record, {name}", value, "µs") for name, value in least.items()]


@contextmanager
def _collector() -> Iterator[str]:
    """Takes spans and drops them."""

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Takes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
