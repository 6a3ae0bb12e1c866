"""FastStream as a worker uses it: our consumers, the records as they are, and a commit for each handled batch."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from harness.fake_consumers import FakeConsumers, FakeGroup
from harness.kafka_record import kafka_record

from headrace_runtime import app
from headrace_runtime.consumer import PartitionConsumer
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Unavailable
from headrace_worker.worker import RawInput, Worker

FASTSTREAM = "0.7"
"""The version whose `config.builder` `broker.consume_with` replaces."""


class KeptBatches:
    """A raw stage that keeps what it gets."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Any]] = []
        self.down = False

    async def store(self, records: Sequence[Any]) -> Mapping[str, int]:
        if self.down:
            raise Unavailable("memory", "is down")
        self.batches.append(records)
        return {"record": len(records)}

    async def check(self) -> None:
        return None


@asynccontextmanager
async def running(consumers: FakeConsumers, stage: KeptBatches) -> AsyncIterator[FakeGroup]:
    @asynccontextmanager
    async def opened(settings: WorkerSettings) -> AsyncIterator[KeptBatches]:
        yield stage

    settings = WorkerSettings.model_validate({"batch": {"give_back_after": 0.05}})
    worker = Worker("raw", WorkerSettings, raw=RawInput(lambda settings: "^raw[.].+$", opened))
    async with app.build(worker, settings).start_lifespan_context():
        yield await consumers.group("headrace.raw")


async def test_the_subscribers_consume_with_our_consumer(consumers: FakeConsumers) -> None:
    installed = version("faststream")
    moved = f"FastStream {installed} is installed and {FASTSTREAM} was checked: does broker.consume_with still work?"
    async with running(consumers, KeptBatches()) as group:
        assert isinstance(group.consumer, PartitionConsumer), moved
        assert group.pattern == "^raw[.].+$"
    assert installed.startswith(f"{FASTSTREAM}."), moved


async def test_the_path_gets_the_records_as_they_are(consumers: FakeConsumers) -> None:
    stage = KeptBatches()
    records = [
        kafka_record(b"\xff", b"\xff", topic="raw.a", headers=[("binary", b"\xff\xfe"), ("null", None)]),
        kafka_record(None, None, topic="raw.b", offset=7, headers=[("binary", b"\x00")]),
    ]
    async with running(consumers, stage) as group:
        assert await group.deliver(*records) == "committed"
    (batch,) = stage.batches
    assert list(batch) == records
    assert all(got is sent for got, sent in zip(batch, records, strict=True))


async def test_a_batch_that_is_not_stored_is_given_back_and_comes_again(consumers: FakeConsumers) -> None:
    stage = KeptBatches()
    stage.down = True
    async with running(consumers, stage) as group:
        assert await group.deliver(kafka_record(b"1", topic="raw.a")) == "given back"
        stage.down = False
        assert await group.deliver(kafka_record(b"1", topic="raw.a")) == "committed"
    assert len(stage.batches) == 1


async def test_a_batch_that_fails_for_an_error_of_our_own_is_given_back(consumers: FakeConsumers) -> None:
    class Buggy(KeptBatches):
        async def store(self, records: Sequence[Any]) -> Mapping[str, int]:
            raise KeyError("a bug")

    async with running(consumers, Buggy()) as group:
        assert await group.deliver(kafka_record(b"1", topic="raw.a")) == "given back"
