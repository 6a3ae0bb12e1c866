"""The runtime on a real broker, with a stage in memory instead of a store."""

import json
import random
from typing import Any

import aiokafka.codec
import aiokafka.producer.producer
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import PolicyViolationError
from aiokafka.producer import message_accumulator
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.structs import TopicPartition
from harness.live_workers import has_problem, most, readiness, running
from harness.memory import MemoryStage, memory_worker
from harness.records import delete, eventually, product, publish, read_all, receipts
from harness.servers import Servers

from headrace_clients import kafka as clients
from headrace_clients.kafka import client_options
from headrace_runtime import publisher
from headrace_runtime.health import FIRST_POLL
from headrace_schemas import headers
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Unavailable

pytestmark = pytest.mark.servers


def outcomes(found: dict[tuple[str, int, int], object]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for receipt in found.values():
        counted[receipt.outcome] = counted.get(receipt.outcome, 0) + 1  # type: ignore[attr-defined]
    return counted


async def test_records_published_before_the_group_joined_are_read(settings: WorkerSettings) -> None:
    await publish(settings, settings.topics.source("product"), [product(f"p{n}", 1) for n in range(50)])
    stage = MemoryStage()
    async with running(memory_worker(stage), settings):
        await eventually(lambda: len(stage.stored) == 50)


async def test_the_first_poll_is_small_for_any_lag(settings: WorkerSettings) -> None:
    await publish(settings, settings.topics.source("product"), [product(f"p{n}", 1) for n in range(300)])
    stage = MemoryStage()
    async with running(memory_worker(stage), settings):
        await eventually(lambda: len(stage.stored) == 300)
    assert len(stage.batches[0]) <= FIRST_POLL < settings.batch.max_records


async def test_every_record_is_applied_superseded_or_a_dead_letter(settings: WorkerSettings) -> None:
    stage = MemoryStage()
    stage.reject = {"p7"}
    records = [product(f"p{n}", version) for n in range(20) for version in (2, 1)] + [b"{nope", delete("p3", 3)]
    await publish(settings, settings.topics.source("product"), records)
    async with running(memory_worker(stage), settings):
        await eventually(lambda: _counted(settings, len(records)))
    counted = outcomes(await receipts(settings, "memory"))
    # p7 is rejected in both versions; p3 at 3 supersedes 2 and 1.
    assert sum(counted.values()) == 42
    assert counted["dead"] == 3
    assert len(await read_all(settings, settings.topics.dead("memory"))) == 3
    assert stage.versions()["p3"] == 3
    assert stage.versions()["p5"] == 2


async def _counted(settings: WorkerSettings, records: int) -> bool:
    return len(await receipts(settings, "memory")) == records


async def test_an_older_change_of_the_batch_is_applied_when_the_newest_is_rejected(settings: WorkerSettings) -> None:
    stage = MemoryStage()
    bad = product("p1", 3, title="x" * 10)
    await publish(settings, settings.topics.source("product"), [product("p1", 1), product("p1", 2), bad])

    class RefusesVersion3(MemoryStage):
        def apply_one(self, change):  # type: ignore[no-untyped-def]
            self.reject = {"p1"} if change.version == 3 else set()
            return super().apply_one(change)

    stage = RefusesVersion3()
    async with running(memory_worker(stage), settings):
        await eventually(lambda: stage.versions() == {"p1": 2})
        await eventually(lambda: _counted(settings, 3))
    assert outcomes(await receipts(settings, "memory")) == {"dead": 1, "applied": 1, "superseded": 1}


async def test_a_store_that_is_down_causes_neither_a_dead_letter_nor_a_commit(settings: WorkerSettings) -> None:
    settings.batch.give_back_after = 1.0
    stage = MemoryStage()
    stage.down = True
    await publish(settings, settings.topics.source("product"), [product(f"p{n}", 1) for n in range(30)])
    async with running(memory_worker(stage), settings) as application:
        # Long enough for several batches to be given back.
        await eventually(lambda: len(stage.batches) > 12)
        assert (await most(application, "headrace_lag_seconds") or 0) > settings.batch.give_back_after
        assert (await most(application, "headrace_retries_total", store="memory") or 0) > 1
        assert await read_all(settings, settings.topics.dead("memory")) == []
        assert await receipts(settings, "memory") == {}
        stage.down = False
        await eventually(lambda: len(stage.stored) == 30)
        await eventually(lambda: _counted(settings, 30))
        assert await most(application, "headrace_lag_seconds") == 0
        assert await most(application, "headrace_publication_delay_seconds_count", kind="product") == 30
    assert await read_all(settings, settings.topics.dead("memory")) == []


async def test_a_batch_error_that_names_no_item_is_bisected_to_it(settings: WorkerSettings) -> None:
    stage = MemoryStage()
    stage.refuse_batch_with = {"p311"}
    await publish(settings, settings.topics.source("product"), [product(f"p{n}", 1) for n in range(500)])
    async with running(memory_worker(stage), settings):
        await eventually(lambda: _counted(settings, 500))
    assert outcomes(await receipts(settings, "memory")) == {"applied": 499, "dead": 1}
    (letter,) = await read_all(settings, settings.topics.dead("memory"))
    assert letter.key == b"p311"


async def test_a_record_that_alone_breaks_the_store_does_not_block_the_others(settings: WorkerSettings) -> None:
    stage = MemoryStage()
    stage.break_on = {"p4"}
    await publish(settings, settings.topics.source("product"), [product(f"p{n}", 1) for n in range(20)])
    async with running(memory_worker(stage), settings):
        await eventually(lambda: _counted(settings, 20), within=60)
    assert outcomes(await receipts(settings, "memory")) == {"applied": 19, "dead": 1}
    (letter,) = await read_all(settings, settings.topics.dead("memory"))
    assert (letter.key, dict(letter.headers)[headers.DEAD_REASON]) == (b"p4", b"poison")


async def test_a_newer_schema_major_holds_the_worker_instead_of_filling_the_dead_letters(
    settings: WorkerSettings,
) -> None:
    stage = MemoryStage()
    topic = settings.topics.source("product")
    newer = [(headers.SCHEMA, b"product-change/2")]
    await publish(settings, topic, [product("p1", 1)])
    async with running(memory_worker(stage), settings) as application:
        await eventually(lambda: len(stage.stored) == 1)
        await publish(settings, topic, [product("p2", 1)], headers=newer)
        await eventually(lambda: has_problem(application, "held: "))
        assert await read_all(settings, settings.topics.dead("memory")) == []
    # An operator may let them become dead letters.
    settings.breaker.allow_rejects = True
    async with running(memory_worker(stage), settings):
        await eventually(lambda: _counted(settings, 2))
    (letter,) = await read_all(settings, settings.topics.dead("memory"))
    assert dict(letter.headers)[headers.DEAD_REASON] == b"unknown_schema"


async def test_systemic_rejects_open_the_breaker_and_make_few_dead_letters(settings: WorkerSettings) -> None:
    stage = MemoryStage()
    stage.reject = {f"p{n}" for n in range(1000)}
    await publish(settings, settings.topics.source("product"), [product(f"p{n}", 1) for n in range(1000)])
    async with running(memory_worker(stage), settings) as application:
        await eventually(lambda: has_problem(application, "held: "))
    # The first poll has few records, and the breaker never opens before 200 changes.
    assert len(await read_all(settings, settings.topics.dead("memory"))) < 200
    stage.reject = set()
    async with running(memory_worker(stage), settings):
        await eventually(lambda: _counted(settings, 1000))
    assert outcomes(await receipts(settings, "memory"))["applied"] > 800


async def test_a_dead_letter_of_a_record_of_maximum_size_is_published(settings: WorkerSettings) -> None:
    limit = settings.kafka.max_record_bytes
    # Batch framing takes some 100 bytes of the limit; random bytes do not compress.
    value = random.Random(1).randbytes(limit - 200)
    await publish(settings, settings.topics.source("product"), [value], compression_type=None)
    async with running(memory_worker(MemoryStage()), settings):
        await eventually(lambda: _counted(settings, 1))
    (letter,) = await read_all(settings, settings.topics.dead("memory"))
    assert letter.value == value


async def test_a_replay_that_fails_again_does_not_grow_and_keeps_its_id(settings: WorkerSettings) -> None:
    stage = MemoryStage()
    stage.reject = {"p1"}
    await publish(settings, settings.topics.source("product"), [product("p1", 1)])
    dead = settings.topics.dead("memory")
    async with running(memory_worker(stage), settings):
        for attempt in range(1, 5):
            await eventually(lambda expected=attempt: _letters(settings, dead, expected))
            letter = (await read_all(settings, dead))[-1]
            replayed = [*letter.headers, (headers.REPLAY_OF, dict(letter.headers)[headers.DEAD_ID])]
            await publish(
                settings,
                settings.topics.replay("memory"),
                [product("p1", 1)],
                headers=[(k, bytes(v)) for k, v in replayed],
            )
        await eventually(lambda: _letters(settings, dead, 5))
    letters = sorted(await read_all(settings, dead), key=lambda one: one.timestamp)
    sizes = {sum(len(name) + len(value) for name, value in letter.headers) for letter in letters}
    assert len({dict(letter.headers)[headers.DEAD_ID] for letter in letters}) == 1
    assert [dict(letter.headers)[headers.DEAD_ATTEMPTS] for letter in letters] == [b"1", b"2", b"3", b"4", b"5"]
    assert max(sizes) - min(sizes) < 10


async def _letters(settings: WorkerSettings, topic: str, expected: int) -> bool:
    return len(await read_all(settings, topic)) == expected


async def test_binary_null_and_repeated_headers_reach_the_dead_letter_byte_for_byte(settings: WorkerSettings) -> None:
    original = [("x", b"\xff\x00"), ("x", b"again"), ("empty", b"")]
    await publish(settings, settings.topics.source("product"), [b"{nope"], headers=original)
    async with running(memory_worker(MemoryStage()), settings):
        await eventually(lambda: _counted(settings, 1))
    (letter,) = await read_all(settings, settings.topics.dead("memory"))
    assert [(name, bytes(value)) for name, value in letter.headers[:3]] == original


async def test_offsets_that_expired_unread_are_reported(settings: WorkerSettings) -> None:
    topic = settings.topics.source("product")
    stage = MemoryStage()
    await publish(settings, topic, [product(f"p{n}", 1) for n in range(20)], partition=0)
    async with running(memory_worker(stage), settings):
        await eventually(lambda: _counted(settings, 20))
    await publish(settings, topic, [product(f"q{n}", 1) for n in range(20)], partition=0)
    await _expire(settings, topic, before=35)
    async with running(memory_worker(stage), settings) as application:
        await eventually(lambda: "q19" in stage.versions())
        assert (await readiness(application))["expired_unread"] == 15


async def test_a_codec_that_is_missing_holds_its_partition_and_loses_nothing_of_the_others(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = settings.topics.source("product")
    await publish(settings, topic, [product(f"z{n}", 1) for n in range(40)], partition=2, compression_type="zstd")
    for partition in (0, 1, 3, 4, 5):
        await publish(settings, topic, [product(f"p{partition}-{n}", 1) for n in range(40)], partition=partition)
    stage = MemoryStage()
    with monkeypatch.context() as missing:
        missing.setattr(aiokafka.codec, "has_zstd", lambda: False)
        async with running(memory_worker(stage), settings) as application:
            await eventually(lambda: len(stage.stored) == 200)
            await eventually(lambda: has_problem(application, f"cannot read {topic}-2 "))
            assert await read_all(settings, settings.topics.dead("memory")) == []
    async with running(memory_worker(stage), settings):
        await eventually(lambda: len(stage.stored) == 240)


async def test_a_partition_that_cannot_be_unpacked_in_the_first_poll_loses_nothing_of_the_others(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is committed yet: what the poll took of the others has to be read again from their start."""
    topic = settings.topics.source("product")
    await publish(settings, topic, [product("z", 1)], partition=5, compression_type="zstd")
    for partition in range(5):
        records = [product(f"p{partition}-{n}", 1) for n in range(FIRST_POLL // 10)]
        await publish(settings, topic, records, partition=partition)
    stage = MemoryStage()
    monkeypatch.setattr(aiokafka.codec, "has_zstd", lambda: False)
    async with running(memory_worker(stage), settings) as application:
        await eventually(lambda: has_problem(application, f"cannot read {topic}-5 "))
        await eventually(lambda: len(stage.stored) == 5 * (FIRST_POLL // 10))


class NotUtf8(str):
    """A header's name as a client in another language may write it."""

    def encode(self, *args: str) -> bytes:
        return b"\xff\xfe"


async def test_a_header_name_that_is_not_utf8_is_one_dead_letter_and_its_partition_continues(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, dead = settings.topics.source("product"), settings.topics.dead("memory")
    bad = product("bad", 1)
    await publish(settings, topic, [product(f"p{n}", 1) for n in range(21)], partition=0)
    with monkeypatch.context() as python_writer:
        # aiokafka's compiled writer accepts only str itself.
        for module in (message_accumulator, aiokafka.producer.producer):
            python_writer.setattr(module, "DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy)
        named = [("before", b"1"), (NotUtf8("key"), b"\xff"), ("after", b"")]
        await publish(settings, topic, [bad], partition=0, headers=named)
        # A foreign tool may write such a name on a topic of dead letters, too.
        await publish(settings, dead, [b"foreign"], headers=named)
    await publish(settings, topic, [product(f"q{n}", 1) for n in range(20)], partition=0)
    stage = MemoryStage()
    async with running(memory_worker(stage), settings) as application:
        await eventually(lambda: len(stage.stored) == 41)
        await eventually(lambda: _counted(settings, 42))
        assert (await readiness(application))["problems"] == []
    foreign, letter = sorted(await read_all(settings, dead), key=lambda one: one.timestamp)
    assert foreign.value == b"foreign"
    assert (letter.key, json.loads(letter.value)) == (b"bad", bad)
    assert list(letter.headers[:3]) == [("before", b"1"), (r"\xff\xfe", b"\xff"), ("after", b"")]
    found = dict(letter.headers)
    where = [found[name] for name in (headers.CONNECT_TOPIC, headers.CONNECT_PARTITION, headers.CONNECT_OFFSET)]
    assert where == [topic.encode(), b"0", b"21"]
    assert found[headers.CONNECT_EXCEPTION] == b"invalid/header"


async def test_a_dead_letter_of_a_record_that_is_small_only_compressed_is_published(settings: WorkerSettings) -> None:
    value = b"{" + b"x" * (4 * settings.kafka.max_record_bytes)
    await publish(settings, settings.topics.source("product"), [value], max_request_size=len(value) + 1000)
    async with running(memory_worker(MemoryStage()), settings):
        await eventually(lambda: _counted(settings, 1))
    (letter,) = await read_all(settings, settings.topics.dead("memory"))
    assert letter.value == value


async def test_a_group_that_joins_after_records_expired_reports_them(settings: WorkerSettings) -> None:
    topic = settings.topics.source("product")
    await publish(settings, topic, [product(f"p{n}", 1) for n in range(20)], partition=0)
    await _expire(settings, topic, before=15)
    stage = MemoryStage()
    async with running(memory_worker(stage), settings) as application:
        await eventually(lambda: len(stage.stored) == 5)
        assert (await readiness(application))["expired_unread"] == 15


async def _expire(settings: WorkerSettings, topic: str, *, before: int) -> None:
    """Removes the records of partition 0 before the offset."""
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    # The broker removes records on request only where it would remove them by itself, and learns of that later.
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={"cleanup.policy": "delete"})])

    async def removed() -> bool:
        try:
            await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=before)})
        except PolicyViolationError:
            return False
        return True

    try:
        await eventually(removed)
    finally:
        await admin.close()


async def test_a_replay_of_an_older_version_keeps_the_newer_one(settings: WorkerSettings) -> None:
    stage = MemoryStage()
    topic = settings.topics.source("product")
    await publish(settings, topic, [product("p1", 2), delete("p2", 2)])
    async with running(memory_worker(stage), settings):
        await eventually(lambda: _counted(settings, 2))
        names = [(headers.CONNECT_TOPIC, topic.encode()), (headers.REPLAY_OF, b"memory:t:0:1:2")]
        older = [product("p1", 1), product("p2", 1)]
        await publish(settings, settings.topics.replay("memory"), older, headers=names)
        await eventually(lambda: _counted(settings, 4))
    found = (await receipts(settings, "memory")).values()
    assert {receipt.outcome for receipt in found if receipt.replay_of} == {"superseded"}
    assert stage.versions() == {"p1": 2, "p2": 2}


async def test_records_that_a_silent_broker_does_not_acknowledge_are_not_published(
    settings: WorkerSettings, faults: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def producer(*args: Any, **options: Any) -> AIOKafkaProducer:
        made.append(clients.producer(*args, **options))
        return made[-1]

    monkeypatch.setattr(publisher, "ACKNOWLEDGED_WITHIN", 10.0)
    monkeypatch.setattr(publisher, "producer", producer)
    sender = publisher.Publisher(settings.kafka)
    record = publisher.Outgoing(settings.topics.source("product"), b"key", b"value")
    await sender.publish([record])
    monkeypatch.setattr(publisher, "ACKNOWLEDGED_WITHIN", 2.0)
    faults.pause("kafka")
    try:
        with pytest.raises(Unavailable, match="not acknowledged"):
            await sender.publish([record])
    finally:
        faults.resume("kafka")
        await sender.close()
        # A producer that could not send what it had has not stopped.
        await made[0].client.close()
