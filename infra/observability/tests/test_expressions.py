"""Every expression of the dashboards and rules returns data from a Prometheus that scrapes a disturbed pipeline."""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from expressions import Prometheus, metrics, of_dashboards, of_rules
from harness.pipeline import Pipeline
from harness.records import eventually, keyword, product, publish
from harness.servers import Servers

from headrace_cli.servers import RULES
from headrace_clients.kafka import producer
from headrace_local import prometheus as settings_of_prometheus
from headrace_local.known_servers import Observation
from headrace_local.stack import Stack
from headrace_schemas import headers

pytestmark = pytest.mark.servers

WITHIN = 60.0
AWAY = 10.0
"""Seconds without a store: an idle worker asks for it every 8 s."""
ALERT_WITHIN = 360.0
"""Seconds: a minute of lag, the two minutes that the alert waits, and time for a slow machine."""
MAY_BE_EMPTY = {
    "headrace_expired_unread_total": "retention removes whole segments, minutes after they are old enough",
    "headrace_breaker_opened_total": "needs more than 100 rejections; the held topic of this test has another reason",
    "headrace_supervisor_": "the workers of this test run without a supervisor, which has tests of its own",
    "headrace_verify_": "verify does not run in this test; its metrics have tests of their own",
    "headrace_console_": "no console runs in this test; its metrics have tests of their own",
}
"""Starts of the metrics without data in this test, and why."""


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("receiver"), services={"otlp"})
    stack.up()
    yield stack
    stack.destroy()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pipeline(
    servers: Servers, receiver: Stack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pipeline]:
    variables = {"TELEMETRY__OTLP_ENDPOINT": url(receiver, "otlp"), "CANARY__INTERVAL": "1"}
    made = Pipeline(servers, tmp_path_factory.mktemp("workers"), **variables)
    canary = made.process("canary")
    try:
        await made.open()
        canary.start()
        yield made
    finally:
        canary.end()
        await made.close()
        servers.heal()


@pytest.fixture(scope="module")
def prometheus(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """As `headrace up --observe` starts it, but scraping each second. It finds the workers by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings_of_prometheus, "SCRAPE_EVERY", "1s")
        kafka = f"HEADRACE_KAFKA__BOOTSTRAP_SERVERS={pipeline.settings.kafka.bootstrap_servers}"
        finder = ["env", kafka, sys.executable, "-m", "headrace_cli", "targets", "--write"]
        stack = Stack(
            tmp_path_factory.mktemp("observer"),
            services={"prometheus", "targets"},
            observation=Observation(RULES, finder),
        )
        stack.up()
        yield Prometheus(url(stack, "prometheus"))
        stack.destroy()


@pytest.mark.asyncio(loop_scope="module")
async def test_every_expression_returns_data_from_a_disturbed_pipeline(
    pipeline: Pipeline, prometheus: Prometheus, receiver: Stack, servers: Servers
) -> None:
    began = time.time()
    await eventually(lambda: _finds_every_worker(prometheus, pipeline), within=WITHIN)
    await disturb(pipeline, servers)
    left = [*of_dashboards(), *selectors_of_rules()]
    until = time.monotonic() + WITHIN
    while left and time.monotonic() < until:
        await asyncio.sleep(1)
        left = await asyncio.to_thread(without_data, prometheus, left, began)
    lines = [f"{where}: {expression}" for where, expression in left]
    assert not lines, "\n".join([f"{len(lines)} expressions without data:", *lines])
    for alert in ("StoreUnavailable", "TopicHeld", "WorkerNotReady", "VersionConflicts"):
        assert prometheus.values(f'ALERTS{{alertname="{alert}"}}', began, time.time()), alert
    await eventually(lambda: exemplar_leads_to_a_trace(prometheus, receiver, began), within=WITHIN)


@pytest.mark.long
@pytest.mark.asyncio(loop_scope="module")
async def test_a_stopped_worker_raises_the_alert_of_its_lag_until_it_continues(
    pipeline: Pipeline, prometheus: Prometheus
) -> None:
    began = time.time()
    products = pipeline.settings.topics.source("product")
    late = {"group": f"{pipeline.prefix}elasticsearch", "topic": products}
    firing = {"alertname": "LagGrowing", "alertstate": "firing", "severity": "page", **late}
    worker = pipeline.workers["elasticsearch"]
    worker.pause()
    try:
        await publish(pipeline.settings, products, [product(f"{pipeline.prefix}stopped", 1)])
        await eventually(lambda: firing in prometheus.alerts(), within=ALERT_WITHIN)
    finally:
        worker.resume()
    lag = f'headrace:lag_seconds{{group="{late["group"]}", topic="{products}"}}'
    assert max(prometheus.values(lag, began, time.time())) > 120
    await eventually(lambda: firing not in prometheus.alerts(), within=ALERT_WITHIN)


def exemplar_leads_to_a_trace(prometheus: Prometheus, receiver: Stack, began: float) -> bool:
    """Whether the receiver has the trace of a point in a graph of the dashboards."""
    ids = prometheus.trace_ids("headrace_publication_delay_seconds_bucket", began, time.time())
    return any(has_answer(f"{url(receiver, 'otlp')}/traces/{trace_id}") for trace_id in ids)


def has_answer(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=10):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return False


def url(stack: Stack, name: str) -> str:
    return next(f"http://127.0.0.1:{server.ports['http']}" for server in stack.status() if server.name == name)


def selectors_of_rules() -> Iterator[tuple[str, str]]:
    """An alert has no data while all is well, so each of its metrics is asked for."""
    for where, expression in of_rules():
        for selector in sorted(metrics(expression)):
            yield f"{where}, {selector}", selector


def without_data(prometheus: Prometheus, expressions: list[tuple[str, str]], began: float) -> list[tuple[str, str]]:
    """The expressions that have returned nothing since `began`, without those that may. Each must be valid."""
    return [
        (where, expression)
        for where, expression in expressions
        if not prometheus.values(expression, began, time.time())
        and not any(metric in expression for metric in MAY_BE_EMPTY)
    ]


async def disturb(pipeline: Pipeline, servers: Servers) -> None:
    """Changes, dead letters with a replay, conflicts, an open transaction, a store that is away, and a held topic."""
    settings = pipeline.settings
    products, keywords = settings.topics.source("product"), settings.topics.source("keyword")
    run = pipeline.prefix
    await publish(settings, keywords, [keyword(f"{run}k{n}", 1) for n in range(20)])
    for version in (1, 2):
        await publish(
            settings,
            products,
            [product(f"{run}{n}", version, price=n + version, currency="EUR") for n in range(60)],
        )
    await publish(settings, products, [product(f"{run}bad{n}", 1, price="many") for n in range(12)])
    await publish(settings, products, [product(f"{run}0", 2, title="another title of version 2")])
    await asyncio.to_thread(operate, pipeline, "replay", "--worker", "elasticsearch", "--limit", "4")
    await asyncio.to_thread(operate, pipeline, "park", "--worker", "embed", "--yes")
    # The letters of both workers about one record are parked together. These wait.
    await publish(settings, products, [product(f"{run}worse{n}", 1, price="many") for n in range(3)])
    transactional = producer(settings.kafka, transactional_id=f"{run}catalogue", transaction_timeout_ms=300_000)
    await transactional.start()
    await transactional.begin_transaction()
    await transactional.send_and_wait(products, json.dumps(product(f"{run}1", 3)).encode(), key=b"1")
    await asyncio.to_thread(servers.kill, "postgres")
    await publish(settings, products, [product(f"{run}{n}", 4) for n in range(10)])
    newer = [(headers.SCHEMA, b"keyword-change/9")]
    await publish(settings, keywords, [keyword(f"{run}newer", 1)], headers=newer)
    await asyncio.sleep(AWAY)
    await asyncio.to_thread(servers.start, "postgres")
    await transactional.abort_transaction()
    await transactional.stop()


def operate(pipeline: Pipeline, *arguments: str) -> None:
    """Runs `headrace dead …`, which fails for letters that fail again."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    line = [sys.executable, "-m", "headrace_cli", "dead", *arguments, "--actor", "test", "--reason", "a disturbance"]
    done = subprocess.run(
        line, env=inherited | pipeline.environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode in (0, 1), done.stderr


async def _finds_every_worker(prometheus: Prometheus, pipeline: Pipeline) -> bool:
    targets = await asyncio.to_thread(prometheus.targets)
    return all(targets.get(name) == "up" for name in (*pipeline.workers, "canary"))
