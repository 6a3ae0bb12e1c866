"""The worker on real servers: it indexes every letter once, whatever fails meanwhile."""

import asyncio
import os
import struct
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.structs import TopicPartition
from harness.kafka_record import kafka_record
from harness.letters import letter_of, send
from harness.live_workers import running
from harness.processes import WorkerProcess
from harness.records import eventually, product
from harness.servers import Servers

from headrace_clients.kafka import client_options
from headrace_dead_letters.app import worker
from headrace_dead_letters.settings import DeadLettersSettings
from headrace_letters.index import LetterIndex
from headrace_letters.letter_reader import open_letter_reader
from headrace_letters.selection import EVERYTHING, Selection
from headrace_runtime.publisher import Outgoing
from headrace_runtime.receipts import receipt_records
from headrace_schemas import headers
from headrace_worker.settings import CommonSettings

LARGE = 5 * 2**20


def letters(settings: DeadLettersSettings, count: int, worker: str = "qdrant", start: int = 0) -> list[Outgoing]:
    """Dead letters of different records."""
    records = [kafka_record(product(f"p{n}", n + 1), offset=n, partition=n % 6) for n in range(start, start + count)]
    return [letter_of(settings, worker, record) for record in records]


async def indexed(index: LetterIndex, count: int, within: float = 60.0) -> None:
    async def complete() -> bool:
        return sum((await index.count(EVERYTHING)).values()) >= count

    await eventually(complete, within=within)
    assert sum((await index.count(EVERYTHING)).values()) == count


async def create_topic(settings: CommonSettings, name: str) -> None:
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs={"max.message.bytes": str(2**24)})])

    async def led() -> bool:
        (described,) = await admin.describe_topics([name])
        return [part["leader"] >= 0 for part in described["partitions"]] == [True]

    await eventually(led)
    await admin.close()


async def committed(settings: DeadLettersSettings) -> int:
    """How many offsets the worker's group has committed."""
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    try:
        offsets: dict[TopicPartition, Any] = await admin.list_consumer_group_offsets(
            f"{settings.topic_prefix}dead_letters"
        )
        return sum(offset.offset for offset in offsets.values() if offset.offset > 0)
    finally:
        await admin.close()


async def test_every_kind_of_record_is_indexed_and_its_bytes_can_be_read(
    settings: DeadLettersSettings, index: LetterIndex
) -> None:
    dead, further = settings.topics.dead("qdrant"), settings.dead.further_topics[0]
    await create_topic(settings, further)
    await create_topic(settings, settings.topics.dead("of-a-future-worker"))
    connect = [
        (headers.CONNECT_TOPIC, b"orders"),
        (headers.CONNECT_NAME, b"sink"),
        (headers.CONNECT_STAGE, b"TASK_PUT"),
    ]
    spring = [("kafka_dlt-original-topic", b"orders"), ("kafka_dlt-original-offset", struct.pack(">q", 7))]
    nul = [(headers.DEAD_ID, b"nul"), (headers.DEAD_REASON, b"\x00"), (headers.CONNECT_MESSAGE, b"a\x00b\xff")]
    records = [
        *letters(settings, 1),
        letter_of(settings, "qdrant", kafka_record(None, b"gone", offset=5)),
        letter_of(settings, "qdrant", kafka_record({"product_id": "n\x00l"}, b"n\x00l", offset=6)),
        Outgoing(further, b"k", b"\x01", connect),
        Outgoing(further, b"k", b"\x02", spring),
        Outgoing(dead, None, b"no key", []),
        Outgoing(dead, b"no value", None, []),
        Outgoing(dead, b"", b"", [("x", None)]),
        Outgoing(dead, os.urandom(4000), os.urandom(100), [("x", os.urandom(50))]),
        Outgoing(dead, b"\x00", b"\x00", nul),
        Outgoing(further, b"large", os.urandom(LARGE), [(headers.DEAD_ID, b"\x00" * 1000)]),
        Outgoing(dead, b"key", b"v", [(headers.DEAD_ID, b"x" * 5000), (headers.DEAD_REASON, b"r" * 9000)]),
        Outgoing(settings.topics.dead("of-a-future-worker"), b"k", b"v", []),
    ]
    places = await send(settings, records)
    async with running(worker, settings):
        await indexed(index, len(records))
        page = await index.page(EVERYTHING, limit=100)
    found = {one.letter.at: one.letter for one in page.letters}
    assert set(found) == set(places)
    for record, place in zip(records, places, strict=True):
        letter = found[place]
        assert letter.key == record.key
        assert letter.size == (None if record.value is None else len(record.value))
    assert {one.origin for one in found.values()} == {"headrace", "connect", "spring", "unknown"}
    async with open_letter_reader(settings.kafka) as reader:
        read = {place: found async for place, found in reader.read(places)}
    for record, place in zip(records, places, strict=True):
        found = read[place]
        assert found is not None
        assert (found.key, found.value) == (record.key, record.value)
        assert list(found.headers) == list(record.headers)


async def test_a_letter_that_is_published_twice_counts_once(settings: DeadLettersSettings, index: LetterIndex) -> None:
    # A worker that dies between its dead letters and its commit publishes them again.
    once = letters(settings, 30)
    await send(settings, once)
    async with running(worker, settings):
        await indexed(index, 30)
        await send(settings, [*once, *letters(settings, 1, start=30)])
        await indexed(index, 31)
        await eventually(lambda: _has_committed(settings, 61))
    (group,) = await index.groups()
    assert group.counts == {"waiting": 31}


async def test_rows_of_letters_that_have_left_their_topic_are_removed(
    settings: DeadLettersSettings, index: LetterIndex
) -> None:
    places = await send(settings, letters(settings, 8), partition=0)
    async with running(worker, settings):
        await indexed(index, 8)
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    dead = TopicPartition(places[0].topic, 0)
    await admin.delete_records({dead: RecordsToDelete(before_offset=places[5].offset)})
    await admin.close()
    async with running(worker, settings):
        await eventually(lambda: _counts(index, {"waiting": 3}))
    left = (await index.page(EVERYTHING)).letters
    assert sorted(one.letter.at for one in left) == places[5:]
    assert [group.total for group in await index.groups()] == [3]


async def _counts(index: LetterIndex, expected: dict[str, int]) -> bool:
    return dict(await index.count(EVERYTHING)) == expected


async def test_receipts_change_the_status_of_their_letters(settings: DeadLettersSettings, index: LetterIndex) -> None:
    records = [kafka_record(product(f"p{n}", 1), offset=n) for n in range(4)]
    await send(settings, [letter_of(settings, "embed", record) for record in records])
    async with running(worker, settings):
        await indexed(index, 4)
        ids = sorted(one.letter.id for one in (await index.page(EVERYTHING)).letters)
        outcomes = ["applied", "superseded", "dead"]
        answers = [answer(id, outcome) for id, outcome in zip(ids, outcomes, strict=False)]
        hostile = [answer(ids[3], "applied") | {"attempt": 2**40}, answer("a\x00b", "applied")]
        answers = [*hostile[:1], *answers, *hostile[1:]]
        published = receipt_records("embed", settings.topics.receipts, answers, datetime.now(UTC), max_bytes=10**6)
        nonsense = [Outgoing(settings.topics.receipts, b"k", value) for value in (None, b"", b'{"replay_of": \xff')]
        await send(settings, [*nonsense, *published])

        async def answered() -> bool:
            return await index.count(EVERYTHING) == {"resolved": 1, "superseded": 1, "waiting": 2}

        await eventually(answered)
        counts = await index.reason_counts()
        by_status = {status: count for (failed, _, status), count in counts.items() if failed == "embed"}
        assert by_status == {"resolved": 1, "superseded": 1, "waiting": 2}


def answer(dead_id: str, outcome: str) -> dict[str, Any]:
    place = {"topic": "replay.embed", "partition": 0, "offset": 0}
    return place | {"outcome": outcome, "kind": "product", "replay_of": dead_id, "attempt": 1}


async def test_while_postgresql_is_down_nothing_is_committed_and_nothing_is_lost(
    settings: DeadLettersSettings, index: LetterIndex, process: WorkerProcess, faults: Servers
) -> None:
    await send(settings, letters(settings, 100))
    process.start()
    await indexed(index, 100)
    await eventually(lambda: _has_committed(settings, 100))
    await asyncio.to_thread(faults.kill, "postgres")
    await send(settings, letters(settings, 100, start=100))
    await asyncio.to_thread(process.wait_for, "store_unavailable")
    assert await _status(process, "/healthz") == 200
    assert await _status(process, "/readyz") == 503
    assert await committed(settings) == 100
    await asyncio.to_thread(faults.start, "postgres")
    await indexed(index, 200)
    await eventually(lambda: _has_committed(settings, 200))
    assert await asyncio.to_thread(process.stop) == 0


async def test_kill_9_in_mid_stream_loses_nothing_and_counts_nothing_twice(
    settings: DeadLettersSettings, index: LetterIndex, process: WorkerProcess
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_stream(settings, 1500))
        for _ in range(3):
            settled, started = process.count("batch_settled"), process.count("worker_started")
            process.start()
            await asyncio.to_thread(process.wait_for, "worker_started", more_than=started)
            await asyncio.to_thread(process.wait_for, "batch_settled", more_than=settled)
            process.kill()
        process.start()
    await indexed(index, 1500, within=120)
    (one,) = await index.groups()
    assert one.counts == {"waiting": 1500}


async def _stream(settings: DeadLettersSettings, count: int) -> None:
    for start in range(0, count, 50):
        await send(settings, letters(settings, 50, start=start))


async def _has_committed(settings: DeadLettersSettings, count: int) -> bool:
    return await committed(settings) == count


async def _status(process: WorkerProcess, path: str) -> int:
    port = next(line["port"] for line in process.lines() if line.get("event") == "http_listening")

    def ask() -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    return await asyncio.to_thread(ask)


async def test_a_letter_that_postgresql_refuses_is_indexed_by_its_position(
    settings: DeadLettersSettings, index: LetterIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = LetterIndex.put_letters

    async def refusing(self: LetterIndex, given: Sequence[Any]) -> None:
        # Text that the server refuses, as an error in the reading of letters would produce it.
        await put(self, [replace(one, error="\x00") if one.key == b"p3" else one for one in given])

    monkeypatch.setattr(LetterIndex, "put_letters", refusing)
    places = await send(settings, letters(settings, 8))
    async with running(worker, settings):
        await indexed(index, 8)
    (kept,) = (await index.page(Selection(reason="unreadable"))).letters
    assert kept.letter.at == places[3]
