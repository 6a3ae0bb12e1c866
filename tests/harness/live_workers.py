"""Workers under test, in this process."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

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
    sent: list[dict[str, bytes]] = []

    async def send(message: dict[str, bytes]) -> None:
        sent.append(message)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "path": "/readyz", "method": "GET", "headers": [], "query_string": b""}
    await application(scope, receive, send)
    body: dict[str, Any] = json.loads(sent[1]["body"])
    return body


async def has_problem(application: Any, start: str) -> bool:
    """Whether a problem of /readyz begins with these words."""
    return any(problem.startswith(start) for problem in (await readiness(application))["problems"])
