"""The health of a worker from its routes."""

import httpx
import pytest
from prometheus_client import generate_latest

from headrace_console.monitor.worker_health import health_of, problems, records_by_outcome
from headrace_runtime.metrics import Metrics

READY = b'{"alive": true, "problems": [], "listener": {"problems": ["no partition is assigned"]}}'


def test_the_problems_of_a_worker_and_of_its_listener_are_read() -> None:
    assert problems(READY) == ["no partition is assigned"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"null"])
def test_an_invalid_report_is_a_problem(body: bytes) -> None:
    assert len(problems(body)) == 1


def test_settled_records_are_summed_over_kinds() -> None:
    metrics = Metrics("qdrant")
    metrics.records.labels("product", "applied").inc(3)
    metrics.records.labels("keyword", "applied").inc(4)
    metrics.records.labels("product", "dead").inc(1)
    assert records_by_outcome(generate_latest(metrics.registry)) == {"applied": 7, "dead": 1}


async def test_a_worker_that_does_not_answer_is_not_ready() -> None:
    async with httpx.AsyncClient() as http:
        health = await health_of(http, "http://127.0.0.1:1")
    assert not health.ready
    assert "does not answer" in health.problems[0]


async def test_an_endless_answer_of_a_worker_is_cut() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=b"x" * 2_000_000))
    async with httpx.AsyncClient(transport=transport) as http:
        assert not (await health_of(http, "http://worker")).ready
