"""A worker whose process lives, but in which nothing reads Kafka any more, must be restarted: /healthz says so."""

import asyncio
import time
import uuid
from typing import Any

import pytest
from harness.live_workers import healthy, readiness, running
from harness.memory import MemoryStage, memory_worker
from harness.records import eventually
from harness.servers import Servers

from headrace_cli.kafka_topics import apply_topics
from headrace_worker.settings import WorkerSettings

DEAD_WITHIN = 30.0
"""Seconds. An orchestrator that asks every ten seconds restarts the worker within a minute."""


def kill(routine: str) -> None:
    """Cancels the tasks that run this coroutine, as an error in it would end them."""
    found = [task for task in asyncio.all_tasks() if routine in task.get_coro().__qualname__]  # type: ignore[union-attr]
    assert found, f"no task runs {routine}"
    for task in found:
        task.cancel()


@pytest.mark.parametrize(
    "routine",
    [
        pytest.param("._run_consume_loop", id="FastStream's task that polls"),
        pytest.param("Fetcher._fetch_requests_routine", id="aiokafka's task that fetches records"),
        pytest.param("GroupCoordinator._coordination_routine", id="aiokafka's task of the consumer group"),
    ],
)
async def test_a_worker_whose_consumer_task_has_ended_is_not_healthy(servers: Servers, routine: str) -> None:
    settings = servers.settings(WorkerSettings, "kafka", TOPIC_PREFIX=f"t{uuid.uuid4().hex[:8]}.")
    await apply_topics(settings, ["memory"])

    async def ready(application: Any) -> bool:
        return not (await readiness(application))["problems"]

    async with running(memory_worker(MemoryStage()), settings) as application:
        await eventually(lambda: ready(application), within=60)
        assert await healthy(application)
        kill(routine)
        deadline = time.monotonic() + DEAD_WITHIN
        while await healthy(application):
            assert time.monotonic() < deadline, f"/healthz answers 200 for {DEAD_WITHIN} s without {routine}"
            await asyncio.sleep(0.1)
