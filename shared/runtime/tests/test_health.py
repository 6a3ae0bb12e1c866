"""Liveness is the heartbeat alone; readiness is assignment, store, breaker and unreadable partitions."""

import json
from typing import Any

from headrace_runtime.health import FIRST_POLL, Health
from headrace_runtime.metrics import Metrics
from headrace_runtime.routes import routes


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def answer(health: Health, path: str) -> tuple[int, Any]:
    """Status and body of a route."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "path": path, "method": "GET", "headers": [], "query_string": b""}
    await dict(routes(health, Metrics("memory")))[path](scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


def test_the_first_poll_is_small_until_a_batch_is_settled() -> None:
    health = Health(10)
    assert (health.poll_size(1000), health.poll_size(20), health.poll_size(None)) == (FIRST_POLL, 20, FIRST_POLL)
    health.beat()
    assert health.poll_size(1000) == FIRST_POLL
    health.settled()
    assert (health.poll_size(1000), health.poll_size(None)) == (1000, None)


def test_a_worker_is_alive_while_its_last_heartbeat_is_recent() -> None:
    clock = Clock()
    health = Health(10, clock)
    clock.seconds = 10
    assert health.alive()
    clock.seconds = 10.1
    assert not health.alive()
    health.beat()
    assert health.alive()


async def test_a_slow_store_does_not_make_a_worker_dead() -> None:
    clock = Clock()
    health = Health(180, clock)
    health.unavailable = "qdrant"
    health.held = "most changes are rejected"
    health.hold_partition("t-0", "UnsupportedCodecError")
    for _ in range(100):
        clock.seconds += 60
        health.beat()
        assert (await answer(health, "/healthz"))[0] == 200
    assert (await answer(health, "/readyz"))[0] == 503


async def test_a_worker_without_a_recent_heartbeat_fails_both_probes() -> None:
    clock = Clock()
    health = Health(10, clock)
    health.assigned = 1
    clock.seconds = 11
    assert [(await answer(health, path))[0] for path in ("/healthz", "/readyz")] == [503, 503]


async def test_readiness_reports_each_problem_until_it_ends() -> None:
    health = Health(10)
    assert health.problems() == ["no partition is assigned"]
    health.assigned = 6
    health.unavailable = "qdrant"
    health.held = "why"
    health.hold_partition("t-1", "UnsupportedCodecError")
    status, body = await answer(health, "/readyz")
    assert status == 503
    assert json.loads(body)["problems"] == [
        "unavailable: qdrant",
        "held: why",
        "cannot read t-1: UnsupportedCodecError",
    ]
    health.settled()
    assert health.problems() == ["cannot read t-1: UnsupportedCodecError"]
    health.release_partition("t-1")
    health.release_partition("t-1")
    assert (await answer(health, "/readyz"))[0] == 200


async def test_a_spare_copy_without_a_partition_is_alive_and_not_ready() -> None:
    health = Health(10)
    assert [(await answer(health, path))[0] for path in ("/healthz", "/readyz")] == [200, 503]


async def test_metrics_are_a_page_for_prometheus() -> None:
    status, body = await answer(Health(10), "/metrics")
    assert status == 200
    assert b'headrace_worker{worker="memory"} 1.0' in body
