"""The health of a worker from its routes."""

from collections.abc import Mapping

import httpx
import pytest

from headrace_clients.worker_copies import Report
from headrace_clients.worker_metrics import read_metrics
from headrace_console.monitor.worker_health import WorkerHealth, health_of, health_of_copies
from headrace_runtime.metrics import Metrics

ROUTES = {
    "/readyz": b'{"alive": true, "problems": ["held: t: 9 of the last 10 products"], "notes": ["a note"]}',
    "/metrics": b'# TYPE headrace_records_total counter\nheadrace_records_total{outcome="conflict"} 2.0\n',
}


def answering(host: str, status: int, routes: Mapping[str, bytes] = ROUTES) -> httpx.MockTransport:
    """A worker at this host; no other host answers."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host != host:
            raise httpx.ConnectError("refused")
        return httpx.Response(status, content=routes[request.url.path])

    return httpx.MockTransport(answer)


async def test_the_copies_that_answer_are_one_worker() -> None:
    async with httpx.AsyncClient(transport=answering("one", 503)) as http:
        health = await health_of_copies(http, ["http://one", "http://two"])
        assert health == WorkerHealth(False, ["held: t: 9 of the last 10 products"], ["a note"], {"conflict": 2})
        assert await health_of_copies(http, ["http://two"]) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"null"])
async def test_an_invalid_report_is_a_problem(body: bytes) -> None:
    transport = answering("one", 200, ROUTES | {"/readyz": body})
    async with httpx.AsyncClient(transport=transport) as http:
        health = await health_of(http, "http://one")
    assert (health.ready, len(health.problems)) == (False, 1)


def test_settled_records_are_summed_over_kinds() -> None:
    metrics = Metrics("qdrant")
    metrics.records.labels("product", "applied").inc(3)
    metrics.records.labels("keyword", "applied").inc(4)
    metrics.records.labels("product", "dead").inc(1)
    metrics.records.labels("product", "conflict").inc(2)
    metrics.records.labels("keyword", "conflict").inc(1)
    body, _ = metrics.page("*/*")
    assert b'headrace_records_total{kind="product",outcome="dead",worker="qdrant"}' in body
    assert read_metrics(body).settled == {"applied": 7, "dead": 1, "conflict": 3}
    assert Report(metrics=read_metrics(body)).conflicts == 3


async def test_a_worker_that_does_not_answer_is_not_ready() -> None:
    async with httpx.AsyncClient() as http:
        health = await health_of(http, "http://127.0.0.1:1")
    assert not health.ready
    assert "does not answer" in health.problems[0]


async def test_an_endless_answer_of_a_worker_is_cut() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=b"x" * 2_000_000))
    async with httpx.AsyncClient(transport=transport) as http:
        assert not (await health_of(http, "http://worker")).ready
