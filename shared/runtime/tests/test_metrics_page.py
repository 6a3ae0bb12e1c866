"""The page of metrics: every sample names its worker, exemplars lead to traces, and the state is that of /readyz."""

from typing import Any

from prometheus_client import Counter
from prometheus_client.core import Exemplar
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from headrace_runtime.health import Health
from headrace_runtime.metrics import Metrics
from headrace_runtime.routes import routes

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
