"""A worker as it is put together: heartbeats, outputs with their trace, and settings that are wrong."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from faststream.exceptions import NackMessage
from harness.kafka_record import kafka_record
from harness.memory import MemoryStage, memory_worker
from harness.records import product

from headrace_runtime import app, main
from headrace_runtime.health import Health
from headrace_runtime.publisher import Outgoing, Publisher
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Applied, Outcome, Output

TRACE = [
    ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", b"vendor=\xff"),
]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[Outgoing]:
    """What the worker publishes, in order."""
    kept: list[Outgoing] = []

    async def keep(publisher: Publisher, records: Sequence[Outgoing]) -> None:
        kept.extend(records)

    monkeypatch.setattr(Publisher, "publish", keep)
    return kept


@asynccontextmanager
async def handler(stage: Any, settings: WorkerSettings) -> AsyncIterator[Any]:
    """The function that FastStream gives each batch to; no consumer runs."""
    application = app.build(memory_worker(stage), settings)
    async with application.lifespan_context():
        (subscriber,) = application.broker.subscribers  # type: ignore[union-attr]
        yield subscriber.calls[0].handler._original_call


class Emits(MemoryStage):
    async def apply(self, changes: Sequence[Any]) -> list[Outcome]:
        return [Applied((Output("out", b"k", b"v", (("own", b"1"),)),)) for _ in changes]


async def test_the_trace_of_the_source_event_travels_to_every_output(published: list[Outgoing]) -> None:
    record = kafka_record(product("p1", 1), headers=[("x", b"not a trace"), *TRACE])
    async with handler(Emits(), WorkerSettings()) as handle:
        await handle([record])
    assert list(published[0].headers) == [("own", b"1"), *TRACE]


async def test_the_trace_of_the_source_event_travels_to_a_dead_letter(published: list[Outgoing]) -> None:
    async with handler(MemoryStage(), WorkerSettings()) as handle:
        await handle([kafka_record(b"{", headers=TRACE)])
    assert list(published[0].headers)[:2] == TRACE


async def test_every_try_on_a_store_that_is_down_beats_the_heart(
    published: list[Outgoing], monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[int] = []
    stage = MemoryStage()
    stage.down = True
    monkeypatch.setattr(Health, "beat", lambda health: beats.append(len(stage.batches)))
    settings = WorkerSettings()
    settings.batch.give_back_after = 0.1
    settings.batch.backoff_max = 0.01
    async with handler(stage, settings) as handle:
        with pytest.raises(NackMessage):
            await handle([kafka_record(product("p1", 1))])
    assert len(stage.batches) > 1
    assert set(beats) == set(range(len(stage.batches) + 1))


def test_a_wrong_setting_ends_the_worker_with_its_name_and_without_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main, "load_worker", lambda name: memory_worker(MemoryStage()))
    monkeypatch.setenv("HEADRACE_KAFKA__PARTITIONS", "s3cr3t-value")
    assert main.run("memory") == 2
    said = capsys.readouterr()
    assert "HEADRACE_KAFKA__PARTITIONS" in said.err
    assert "s3cr3t-value" not in said.err + said.out
