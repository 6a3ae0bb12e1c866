"""Liveness is the heartbeat alone; readiness is assignment, store, breaker and unreadable partitions."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace_runtime.health import FIRST_POLL, Health
from headrace_runtime.metrics import Metrics
from headrace_runtime.routes import routes

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def answer(health: Health, path: str) -> tuple[int, Any]:
    """Status and body of a route."""
    status, _, body = await called(dict(routes(health, Metrics("memory", [health])))[path])
    return status, body


async def called(route: Any, accept: bytes = b"*/*") -> tuple[int, str, Any]:
    """Status, content type and body."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "path": "/", "method": "GET", "headers": [(b"accept", accept)], "query_string": b""}
    await route(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"])[b"content-type"].decode(), sent[1]["body"]


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
    health.problem("store", "qdrant", "ConnectError")
    health.problem("held topic", "t", "most changes are rejected")
    health.problem("held partition", "t-0", "UnsupportedCodecError")
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
    health = Health(10, now=lambda: NOON)
    assert health.problems() == ["no partition is assigned since 2026-03-01 12:00:00 UTC"]
    health.assigned = 6
    health.problem("store", "qdrant", "ConnectError")
    health.problem("held topic", "t", "why")
    health.problem("held partition", "t-1", "UnsupportedCodecError")
    status, body = await answer(health, "/readyz")
    assert status == 503
    assert json.loads(body)["problems"] == [
        "unavailable: qdrant since 2026-03-01 12:00:00 UTC: ConnectError",
        "held: t since 2026-03-01 12:00:00 UTC: why",
        "cannot read t-1 since 2026-03-01 12:00:00 UTC: UnsupportedCodecError",
    ]
    health.settled()
    assert [problem.kind for problem in health.open_problems()] == ["held topic", "held partition"]
    health.solved("held topic", "t")
    health.solved("held partition", "t-1")
    health.solved("held partition", "t-1")
    assert (await answer(health, "/readyz"))[0] == 200


async def test_a_problem_says_since_when_however_often_it_is_found() -> None:
    clock = Clock()
    health = Health(10, clock, now=lambda: NOON + timedelta(seconds=clock.seconds))
    health.assigned = 1
    health.problem("store", "qdrant", "ConnectError", by="check")
    clock.seconds = 4
    health.problem("store", "qdrant", "ConnectError", by="check")
    health.problem("store", "qdrant", "503: overloaded")
    [found] = json.loads((await answer(health, "/readyz"))[1])["details"]
    assert found == {
        "kind": "store",
        "subject": "qdrant",
        "reason": "503: overloaded",
        "since": "2026-03-01T12:00:00Z",
        "seconds": 4.0,
    }


async def test_what_a_batch_found_ends_with_a_settled_batch_and_what_the_check_found_with_the_check() -> None:
    health = Health(10)
    health.assigned = 1
    health.problem("store", "qdrant", "full")
    health.solved("store", "qdrant", by="check")
    assert [problem.reason for problem in health.open_problems()] == ["full"]
    health.problem("kafka", "kafka", "gone", by="check")
    health.settled()
    assert [problem.reason for problem in health.open_problems()] == ["gone"]
    health.solved("kafka", "kafka", by="check")
    assert health.problems() == []


async def test_a_note_does_not_make_a_worker_unready() -> None:
    health = Health(10)
    health.assigned = 1
    health.note("transaction", "a transaction is open")
    status, body = await answer(health, "/readyz")
    assert (status, json.loads(body)["notes"]) == (200, ["a transaction is open"])
    health.note("transaction", None)
    assert health.report()["notes"] == []


async def test_a_spare_copy_without_a_partition_is_alive_and_not_ready() -> None:
    health = Health(10)
    assert [(await answer(health, path))[0] for path in ("/healthz", "/readyz")] == [200, 503]
