"""Workers under test, in this process."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from headrace_runtime.app import build
from headrace_worker.settings import WorkerSettings
from headrace_worker.worker import Worker


@asynccontextmanager
async def running(worker: Worker, settings: WorkerSettings) -> AsyncIterator[Any]:
    """Runs the worker while the block runs. Yields its ASGI application."""
    application = build(worker, settings)
    async with application.start_lifespan_context():
        yield application


async def readiness(application: Any) -> dict[str, Any]:
    """The body of /readyz: its problems and the number of records that expired unread."""
    body: dict[str, Any] = json.loads((await _answer(application, "/readyz"))[1])
    return body


async def healthy(application: Any) -> bool:
    """Whether /healthz answers 200."""
    return (await _answer(application, "/healthz"))[0] == 200


async def most(application: Any, metric: str, **labels: str) -> float | None:
    """The largest value among the samples of /metrics of this name that have these labels; None without any."""
    page = (await _answer(application, "/metrics"))[1].decode()
    samples = [one for family in text_string_to_metric_families(page) for one in family.samples]
    found = [one.value for one in samples if one.name == metric and labels.items() <= one.labels.items()]
    return max(found, default=None)


async def _answer(application: Any, path: str) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "path": path, "method": "GET", "headers": [], "query_string": b""}
    await application(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


async def has_problem(application: Any, start: str) -> bool:
    """Whether a problem of /readyz begins with these words."""
    return any(problem.startswith(start) for problem in (await readiness(application))["problems"])
