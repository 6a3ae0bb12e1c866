"""Kafka and the store are checked without any batch; what does not answer is a problem until it answers again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka.errors import KafkaConnectionError
from harness.records import eventually

from headrace_runtime import readiness
from headrace_runtime.health import Health
from headrace_runtime.readiness import Readiness
from headrace_worker.stage import Unavailable


class Server:
    """Raises `error` at each check if there is one; does not answer at all if it is `silent`."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.silent = False
        self.checks = self.at_once = self.most_at_once = 0

    async def check(self) -> None:
        self.checks += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.silent:
                await asyncio.sleep(60)
            if self.error is not None:
                raise self.error
        finally:
            self.at_once -= 1


@asynccontextmanager
async def checked(health: Health, kafka: Server, store: Server) -> AsyncIterator[None]:
    health.assigned = 1
    task = asyncio.create_task(Readiness(health, kafka.check, store.check).run())
    yield
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "CHECK_EVERY", 0.01)
    monkeypatch.setattr(readiness, "ANSWER_WITHIN", 0.05)


async def test_a_store_that_does_not_answer_is_a_problem_with_its_own_words_until_it_answers() -> None:
    health, kafka, store = Health(10), Server(), Server()
    async with checked(health, kafka, store):
        store.error = Unavailable("elasticsearch", "429 cluster_block_exception: flood-stage watermark")
        await eventually(lambda: [one.subject for one in health.open_problems()] == ["elasticsearch"])
        [problem] = health.open_problems()
        assert problem.reason == "429 cluster_block_exception: flood-stage watermark"
        checks = store.checks
        await eventually(lambda: store.checks > checks + 2)
        assert health.open_problems()[0].since == problem.since
        store.error = None
        await eventually(lambda: health.open_problems() == [])


async def test_silence_is_a_problem_and_no_check_is_repeated_beside_itself() -> None:
    health, kafka, store = Health(10), Server(), Server()
    async with checked(health, kafka, store):
        kafka.silent = store.silent = True
        await eventually(lambda: [one.kind for one in health.open_problems()] == ["kafka", "store"])
        assert health.open_problems()[0].reason == "no answer within 0.05 s"
        await eventually(lambda: kafka.checks > 3)
        kafka.silent = store.silent = False
        await eventually(lambda: health.open_problems() == [])
    assert (kafka.most_at_once, store.most_at_once) == (1, 1)


async def test_kafka_behind_a_stage_and_kafka_itself_are_one_problem() -> None:
    health, kafka, store = Health(10), Server(), Server()
    async with checked(health, kafka, store):
        kafka.error, store.error = KafkaConnectionError(), Unavailable("kafka", "cannot be reached")
        await eventually(lambda: len(health.open_problems()) == 1 and store.checks > 1)
        assert health.open_problems()[0].kind == "kafka"
        store.error = None
        await asyncio.sleep(0.05)
        assert [one.kind for one in health.open_problems()] == ["kafka"]
        kafka.error = None
        await eventually(lambda: health.open_problems() == [])


async def test_an_error_in_a_check_itself_is_reported_and_does_not_end_the_checks() -> None:
    health, kafka, store = Health(10), Server(), Server()
    async with checked(health, kafka, store):
        store.error = KeyError("a bug")
        await eventually(lambda: [one.kind for one in health.open_problems()] == ["store"])
        store.error = None
        await eventually(lambda: health.open_problems() == [])
