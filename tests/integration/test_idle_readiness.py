"""An idle worker reports Kafka or a store that is paused or killed, since when, and takes it back by itself."""

import asyncio
from typing import Any

import pytest
from harness.live_workers import readiness, running
from harness.records import eventually
from harness.servers import Servers

from headrace_cli.kafka_topics import apply_topics
from headrace_dead_letters.app import worker
from headrace_dead_letters.settings import DeadLettersSettings
from headrace_dead_letters.stage import letter_index
from headrace_runtime import readiness as checks

pytestmark = pytest.mark.servers


async def test_an_idle_worker_reports_kafka_and_its_store_until_they_answer_again(
    servers: Servers, faults: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "CHECK_EVERY", 0.5)
    monkeypatch.setattr(checks, "ANSWER_WITHIN", 2.0)
    settings = servers.settings(DeadLettersSettings, "kafka", "postgres", TOPIC_PREFIX="idle.")
    await apply_topics(settings, ["memory"])
    index = letter_index(settings)
    await index.prepare()
    await index.close()
    async with running(worker, settings) as application:

        async def open_problems() -> dict[str, Any]:
            return {problem["kind"]: problem for problem in (await readiness(application))["details"]}

        async def are(*kinds: str) -> bool:
            return (await open_problems()).keys() == set(kinds)

        await eventually(are, within=90)
        await asyncio.to_thread(faults.kill, "postgres")
        await eventually(lambda: are("store"), within=90)
        [problem] = (await open_problems()).values()
        assert problem["subject"] == "postgres"
        assert problem["reason"].startswith("cannot be reached: ")
        await asyncio.to_thread(faults.start, "postgres")
        await eventually(are, within=90)
        await asyncio.to_thread(faults.pause, "kafka")
        await eventually(lambda: are("kafka"), within=90)
        await asyncio.to_thread(faults.resume, "kafka")
        await eventually(are, within=90)
