"""`headrace wait` on a real broker, with stages in memory: it reports what became of the open records, and no more."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness.installation import Installation, in_memory, open_installation
from harness.letters import send
from harness.live_workers import running
from harness.memory import MemoryStage
from harness.records import eventually, product, publish
from harness.servers import Servers

from headrace_cli.record_outcomes import Counts
from headrace_cli.settlement import Settlement, settle
from headrace_cli.settlement_text import WaitReport, as_object, complaints, conclusion
from headrace_clients.consumer_groups import OpenTransaction, open_transactions
from headrace_clients.group_lag import ConsumerGroup
from headrace_clients.kafka import producer
from headrace_runtime.publisher import Outgoing
from headrace_worker.stage import Applied, Conflict, Outcome, Output
from headrace_worker.worker import load_worker

pytestmark = pytest.mark.servers

NAMES = ("elasticsearch", "embed", "qdrant")
QUICK = 60.0


class EmbedStage(MemoryStage):
    """Publishes every change with a vector of one dimension, as the worker embed does."""

    def __init__(self, topic: str) -> None:
        super().__init__()
        self._topic = topic

    def apply_one(self, change: Any) -> Outcome:
        outcome = super().apply_one(change)
        vector = {"model": "m", "content_hash": "0" * 64, "vector": base64.b64encode(b"\0\0\x80?").decode()}
        value = change.model_dump(mode="json", exclude_none=True) | {"op": "upsert", "embedding": vector}
        output = Output(self._topic, change.id.encode(), json.dumps(value).encode())
        return Applied((output,)) if isinstance(outcome, Applied) else outcome


class StoreStage(MemoryStage):
    """Reports a conflict for another content under the stored version."""

    def apply_one(self, change: Any) -> Outcome:
        stored = self.stored.get((change.kind, change.id))
        if stored is not None and stored.version == change.version and stored.title != change.title:
            return Conflict()
        return super().apply_one(change)


class Workers:
    """Three workers with stages in memory, which a test starts and stops."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.settings = installation.settings
        self.source = self.settings.topics.source("product")
        self.stages: Mapping[str, MemoryStage] = {
            "elasticsearch": StoreStage(),
            "embed": EmbedStage(self.settings.topics.embedded("product", self.settings.model)),
            "qdrant": StoreStage(),
        }
        self._running: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = {}
        self.readers = [self._reader(name) for name in NAMES]

    async def start(self, *names: str) -> None:
        started = []
        for name in names:
            stop, ready = asyncio.Event(), asyncio.Event()
            self._running[name] = stop, asyncio.create_task(self._run(name, ready, stop))
            started.append(ready.wait())
        await asyncio.gather(*started)

    async def stop(self, *names: str) -> None:
        ended = [self._running.pop(name) for name in names or list(self._running)]
        for stop, _ in ended:
            stop.set()
        await asyncio.gather(*(task for _, task in ended))

    async def _run(self, name: str, ready: asyncio.Event, stop: asyncio.Event) -> None:
        worker = load_worker(name)
        settings = self.installation.settings_of(worker, BATCH__WAIT_MS="50")
        async with running(in_memory(worker, self.stages[name]), settings):
            ready.set()
            await stop.wait()

    async def publish(self, records: Sequence[dict[str, Any] | bytes]) -> None:
        await publish(self.settings, self.source, records)

    async def publish_on_partition_0(self, id: str) -> None:
        """Publishes a product on the partition of `transaction`."""
        value = json.dumps(product(id, 1)).encode()
        await send(self.settings, [Outgoing(self.source, id.encode(), value, [])], partition=0)

    async def wait(self, timeout: float = QUICK, **options: Any) -> Settlement:
        return await settle(self.settings, self.readers, [], timeout, **options)

    async def wait_while_starting(self, *names: str) -> Settlement:
        """Starts the workers once the open records are counted, and returns when they are settled."""
        return await (await self.waiting_while_starting(*names))

    async def waiting_while_starting(self, *names: str) -> asyncio.Task[Settlement]:
        """The same, but returns when the workers have started."""
        counted = asyncio.Event()
        waiting = asyncio.create_task(self.wait(on_progress=lambda missing: counted.set()))
        await counted.wait()
        await self.start(*names)
        return waiting

    def _reader(self, name: str) -> ConsumerGroup:
        worker, topics = load_worker(name), self.settings.topics
        inputs = worker.inputs(self.installation.settings_of(worker))
        return ConsumerGroup(name, worker.group(self.settings), frozenset(inputs), topics.replay(name))


@pytest.fixture
async def workers(servers: Servers) -> AsyncIterator[Workers]:
    async with open_installation(servers, *NAMES, "pgvector", "link") as installation:
        made = Workers(installation)
        yield made
        await made.stop()


def of(found: Settlement, worker: str) -> Counts:
    """The one row of a worker, without that of its replays."""
    (counts,) = [counts for counts in found.counts if counts.worker == worker and ".replay." not in counts.topic]
    return counts


def said(found: Settlement, *transactions: OpenTransaction) -> str:
    report = WaitReport(found, [], transactions, None)
    json.dumps(as_object(report))
    return "\n".join([*conclusion(report), *complaints(report, 1.0)])


@asynccontextmanager
async def transaction(workers: Workers, id: str, aborted: bool, key: bytes | None = None) -> AsyncIterator[None]:
    """A product in a transaction that stays open until the end of the block. `key`: another key than its id."""
    client = producer(workers.settings.kafka, transactional_id=workers.installation.prefix)
    await client.start()
    await client.begin_transaction()
    value = json.dumps(product(id, 1)).encode()
    await client.send_and_wait(workers.source, value, key=key or id.encode(), partition=0)
    yield
    await (client.abort_transaction() if aborted else client.commit_transaction())
    await client.stop()


def products(prefix: str, count: int, version: int = 1, **fields: Any) -> list[dict[str, Any]]:
    return [product(f"{prefix}{number}", version, **fields) for number in range(count)]


async def test_every_open_record_is_counted_by_what_became_of_it(workers: Workers) -> None:
    found = await workers.wait()
    assert (found.records, found.counts) == (0, [])
    assert "No record was open when this was called" in said(found)

    # One of 40 records is older than another of the same product, one is not JSON; elasticsearch refuses 35 alone.
    workers.stages["elasticsearch"].reject = {f"p{number}" for number in range(35)}
    await workers.publish([*products("p", 38), product("p37", 2), b"not JSON"])
    found = await workers.wait_while_starting(*NAMES)
    assert (found.in_time, found.records, found.derived) == (True, 40, 38)
    refused = of(found, "elasticsearch")
    assert (refused.records, refused.applied, refused.superseded, refused.dead_letters) == (40, 3, 1, 36)
    assert sorted((cause.reason, number) for cause, number in refused.dead.items()) == [
        ("not_json", 1), ("refused_by_store", 35)
    ]  # fmt: skip
    assert of(found, "embed").dead_letters == 1
    assert (of(found, "qdrant").records, of(found, "qdrant").applied) == (38, 38)
    assert not WaitReport(found, [], [], None).succeeded(allow_dead=False)
    assert WaitReport(found, [], [], None).succeeded(allow_dead=True)
    assert "elasticsearch: 35 dead letters of" in said(found)

    # These dead letters are not of the next records.
    await workers.stop("elasticsearch", "embed")
    workers.stages["elasticsearch"].reject = set()
    await workers.publish([*products("q", 3), product("p37", 2, title="Another content")])
    found = await workers.wait_while_starting("elasticsearch", "embed")
    assert found.records == 4
    assert (of(found, "elasticsearch").applied, of(found, "elasticsearch").conflict, found.dead) == (3, 1, 0)
    assert "elasticsearch: 1 conflict of" in said(found)
    found = await workers.wait(since=found.called_at.replace(year=2020))
    assert (found.records, of(found, "elasticsearch").dead_letters, of(found, "qdrant").applied) == (44, 36, 41)


async def test_records_that_the_group_of_an_earlier_release_has_settled_are_not_open_after_an_upgrade(
    workers: Workers,
) -> None:
    (embed,) = [reader for reader in workers.readers if reader.worker == "embed"]
    await workers.publish(products("p", 3))
    await workers.start("embed")
    assert (await settle(workers.settings, [embed], [], QUICK)).in_time
    await workers.stop("embed")
    not_started = replace(embed, name=f"{embed.name}.new", former=embed.name)
    await workers.publish(products("q", 2))
    found = await settle(workers.settings, [not_started], [], 0)
    assert (found.in_time, found.records) == (False, 2)


async def test_offsets_without_a_record_do_not_count(workers: Workers) -> None:
    for aborted in (False, True):
        async with transaction(workers, f"{aborted}", aborted, key=b"another id"):
            pass
    found = await workers.wait(timeout=0)
    assert not found.in_time
    assert (found.records, of(found, "embed").unanswered) == (1, 1)
    found = await workers.wait_while_starting(*NAMES)
    assert (found.in_time, found.records, found.unanswered) == (True, 1, 0), said(found)
    assert (of(found, "embed").records, of(found, "embed").dead_letters) == (1, 1)


@pytest.mark.parametrize("aborted", [False, pytest.param(True, marks=pytest.mark.long)])
async def test_the_records_of_a_transaction_that_is_open_at_the_call_are_waited_for(
    workers: Workers, aborted: bool
) -> None:
    since = datetime.now(UTC) - timedelta(minutes=1)
    async with transaction(workers, "open", aborted):
        await workers.publish_on_partition_0("behind")
        await workers.start(*NAMES)
        found = await workers.wait(timeout=1)
        assert not found.in_time
        (waiting,) = await open_transactions(workers.settings.kafka, [workers.source])
        assert {part.worker for part in found.missing} == {"elasticsearch", "embed"}, found.missing
        lines = said(found, waiting)
        assert "cannot be read until a producer ends its transaction" in lines
        assert "not counted here" not in lines
        counted = asyncio.Event()
        going_on = asyncio.create_task(workers.wait(since=since, on_progress=lambda missing: counted.set()))
        await counted.wait()
    found = await going_on
    assert (found.in_time, found.records, of(found, "qdrant").applied) == (True, 2 - aborted, 2 - aborted)


async def test_a_transaction_that_opens_after_the_call_is_not_waited_for(workers: Workers) -> None:
    await workers.publish_on_partition_0("before")
    waiting = await workers.waiting_while_starting()
    async with transaction(workers, "later", aborted=False):
        await workers.start(*NAMES)
        found = await waiting
        (later,) = await open_transactions(workers.settings.kafka, [workers.source])
    assert (found.in_time, found.records, found.unanswered) == (True, 1, 0), said(found, later)
    assert "they were published after this command was called, and are not counted here" in said(found, later)


async def test_a_replay_that_finishes_meanwhile_counts_and_a_worker_that_does_not_run_is_missing(
    workers: Workers,
) -> None:
    workers.stages["elasticsearch"].reject = {"p0", "p1"}
    await workers.publish(products("p", 3))
    waiting = await workers.waiting_while_starting("elasticsearch", "embed")
    await eventually(lambda: _letters(workers, 2))
    workers.stages["elasticsearch"].reject = {"p1"}
    await workers.installation.indexed()
    await workers.installation.replayed()
    found = await workers.wait(timeout=0.5)
    assert {(part.worker, part.records) for part in found.missing} == {("qdrant", 3)}
    await workers.start("qdrant")
    found = await waiting
    assert (of(found, "elasticsearch").applied, of(found, "elasticsearch").dead_letters) == (2, 1), found.counts
    assert of(found, "elasticsearch").by_replay == 1
    assert found.replays == 2
    assert (of(found, "qdrant").applied, found.in_time) == (3, True)


async def _letters(workers: Workers, count: int) -> bool:
    return len(await workers.installation.letters("elasticsearch")) == count


@pytest.mark.long
async def test_a_restart_of_kafka_is_survived_and_a_kafka_that_stays_away_is_named(
    workers: Workers, faults: Servers
) -> None:
    await workers.publish(products("p", 3))
    counted = [asyncio.Event(), asyncio.Event()]
    short, long = [
        asyncio.create_task(workers.wait(timeout, on_progress=lambda missing, event=event: event.set()))
        for timeout, event in zip((10.0, 200.0), counted, strict=True)
    ]
    await asyncio.gather(*(event.wait() for event in counted))
    await asyncio.to_thread(faults.kill, "kafka")
    found = await short
    assert not found.in_time
    assert "Kafka has not answered since" in said(found)
    assert ("embed", 3) in {(part.worker, part.records) for part in found.missing}
    await asyncio.to_thread(faults.start, "kafka")
    await workers.start(*NAMES)
    found = await long
    assert (found.in_time, found.records, found.unanswered, found.dead) == (True, 3, 0, 0)
    assert of(found, "qdrant").applied == 3
