"""The page of metrics: every sample names its worker, exemplars lead to traces, and the state is that of /readyz."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from harness.kafka_record import TIMESTAMP_MS, kafka_record
from harness.records import product
from prometheus_client import Counter
from prometheus_client.core import Exemplar
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from headrace_runtime.answers import Answered
from headrace_runtime.health import Health
from headrace_runtime.metrics import Metrics
from headrace_runtime.reporter import Reporter
from headrace_runtime.routes import routes
from headrace_runtime.trace_context import TraceContext
from headrace_schemas.changes import ProductChange
from headrace_schemas.fields import RecordKind
from headrace_schemas.headers import DEAD_REASONS
from headrace_schemas.receipts import ReceiptOutcome
from headrace_worker.store_calls import CALL_SECONDS, Operation
from headrace_worker.worker import load_worker

OPEN_METRICS = b"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"


async def page(metrics: Metrics, health: Health, accept: bytes = b"*/*") -> tuple[str, str]:
    """Content type and text."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "path": "/", "method": "GET", "headers": [(b"accept", accept)], "query_string": b""}
    await dict(routes(health, metrics))["/metrics"](scope, receive, send)
    return dict(sent[0]["headers"])[b"content-type"].decode(), sent[1]["body"].decode()


def samples(text: str) -> list[Any]:
    return [sample for family in plain_text(text) for sample in family.samples]


async def test_every_sample_names_its_worker_in_both_formats() -> None:
    health = Health(10)
    own = Counter("headrace_memory_writes", "Writes of this worker", registry=None)
    metrics = Metrics("memory", [health], [own])
    own.inc(7)
    metrics.records.labels("product", "applied").inc(3)
    metrics.delay.observe("product", [0.2])
    for accept, parse in ((b"*/*", plain_text), (OPEN_METRICS, open_metrics)):
        content_type, text = await page(metrics, health, accept)
        found = [sample for family in parse(text) for sample in family.samples]
        assert {sample.labels.get("worker") for sample in found} == {"memory"}
        counted = [sample for sample in found if sample.name == "headrace_records_total"]
        assert [(one.value, one.labels["outcome"]) for one in counted] == [(3, "applied")]
        assert [one.value for one in found if one.name == "headrace_memory_writes_total"] == [7]
        assert content_type.startswith("application/openmetrics-text" if parse is open_metrics else "text/plain")


async def test_an_exemplar_has_the_trace_of_a_slow_change_where_the_scraper_reads_exemplars() -> None:
    health = Health(10)
    metrics = Metrics("memory", [health])
    metrics.delay.observe("product", [0.2, 4.5], Exemplar({"trace_id": "ab" * 16}, 4.5))
    _, text = await page(metrics, health, OPEN_METRICS)
    buckets = [
        one for family in open_metrics(text) for one in family.samples if one.name.endswith("delay_seconds_bucket")
    ]
    [bucket] = [one for one in buckets if one.exemplar]
    assert (bucket.labels["le"], bucket.exemplar.labels) == ("5.0", {"trace_id": "ab" * 16})
    assert "trace_id" not in (await page(metrics, health))[1]


async def test_the_state_is_that_of_readyz_and_a_problem_is_a_sample_while_it_is_open() -> None:
    health, listener = Health(10), Health(10)
    metrics = Metrics("memory", [health, listener])

    async def state() -> dict[str, Any]:
        found = samples((await page(metrics, health))[1])
        problems = {(one.labels["kind"], one.labels["subject"]) for one in found if one.name == "headrace_problem"}
        values = {one.name: one.value for one in found}
        return {
            "problems": problems,
            "ready": values["headrace_ready"],
            "assigned": values["headrace_partitions_assigned"],
        }

    assert await state() == {"problems": {("assignment", "")}, "ready": 0, "assigned": 0}
    health.assigned, listener.assigned = 4, 2
    assert await state() == {"problems": set(), "ready": 1, "assigned": 6}
    for part in (health, listener):
        part.problem("store", "qdrant", "some reason")
    listener.problem("held topic", "headrace.receipts", "some reason")
    open_now = {("store", "qdrant"), ("held topic", "headrace.receipts")}
    assert await state() == {"problems": open_now, "ready": 0, "assigned": 6}
    health.settled()
    listener.settled()
    assert (await state())["problems"] == {("held topic", "headrace.receipts")}


async def test_the_build_has_its_version_and_the_revision_if_it_is_known() -> None:
    health = Health(10)
    for revision, shown in ((None, None), ("4ef8069", "4ef8069")):
        found = samples((await page(Metrics("memory", [health], revision=revision), health))[1])
        [build] = [one.labels for one in found if one.name == "headrace_build_info"]
        assert build.get("revision") == shown
        assert {name for name, value in build.items() if value} >= {"version", "python", "worker"}


async def test_a_settled_batch_leaves_the_trace_of_its_oldest_traced_change_as_an_example() -> None:
    health = Health(10)
    metrics = Metrics("memory", [health])
    now = datetime.fromtimestamp(TIMESTAMP_MS / 1000, UTC) + timedelta(seconds=8)
    change = ProductChange.model_validate(product("p", 1) | {"occurred_at": now - timedelta(seconds=12)})
    records = [kafka_record(b"{}", offset=n, timestamp=TIMESTAMP_MS + 2000 * n) for n in range(4)]
    spans = {id(records[2]): TraceContext(0xA2, 1, 1), id(records[1]): TraceContext(0xA1, 1, 1)}
    reporter = Reporter("memory", health, metrics)
    reporter.settled([Answered(record, change) for record in records], now=now, seconds=1.0, spans=spans)
    reporter.settled([Answered(records[0], change)], now=now, seconds=1.0)
    _, text = await page(metrics, health, OPEN_METRICS)
    examples = {
        (one.name, one.labels["le"], one.exemplar.labels["trace_id"], one.exemplar.value)
        for family in open_metrics(text)
        for one in family.samples
        if one.exemplar
    }
    assert examples == {
        ("headrace_publication_delay_seconds_bucket", "7.5", f"{0xA1:032x}", 6.0),
        ("headrace_delay_seconds_bucket", "15.0", f"{0xA1:032x}", 12.0),
    }


async def test_a_worker_has_at_most_a_thousand_samples_beside_those_of_its_partitions() -> None:
    health = Health(10)
    metrics = Metrics("memory", [health], load_worker("embed").metrics)
    kinds = get_args(RecordKind)
    for kind in kinds:
        for outcome in get_args(ReceiptOutcome):
            metrics.records.labels(kind, outcome).inc()
    for kind in ("product", "keyword", "product_links"):
        for delay in (metrics.delay, metrics.publication_delay):
            delay.observe(kind, [1.0])
    for step in ("queued", "decode", "write", "publish"):
        metrics.stage_seconds.observe(step, [1.0])
    for reason in DEAD_REASONS:
        metrics.dead.labels(reason).inc()
    for operation in get_args(Operation):
        CALL_SECONDS.labels("qdrant", operation).observe(1)
    for store in ("qdrant", "kafka", "stage"):
        metrics.unavailable.labels(store).inc()
        metrics.retries.labels(store).inc()
    _, text = await page(metrics, health)
    assert 500 < len(samples(text)) < 1000
