"""The letter reader returns the unchanged record at any position."""

import os
import random
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition
from harness.letters import letter_of, send
from harness.records import eventually
from structlog.testing import capture_logs

from headrace_clients.kafka import client_options
from headrace_letters.index_settings import IndexSettings
from headrace_letters.letter import Letter, read_letter
from headrace_letters.letter_reader import SEEK_DISTANCE, LetterReader, open_letter_reader
from headrace_letters.plain_record import PlainRecord
from headrace_runtime.decoder import KafkaRecord, Position
from headrace_runtime.publisher import Outgoing
from headrace_worker.settings import CommonSettings, KafkaSettings
from headrace_worker.stage import Unavailable


async def read(reader: LetterReader, places: list[Position]) -> list[KafkaRecord | None]:
    found = [(place, record) async for place, record in reader.read(places)]
    assert [place for place, _ in found] == places
    return [record for _, record in found]


def records(settings: CommonSettings, count: int) -> list[Outgoing]:
    topic = settings.topics.dead("qdrant")
    return [Outgoing(topic, b"k%d" % n, os.urandom(20) + b"%d" % n, [("h", b"\xff%d" % n)]) for n in range(count)]


async def test_records_are_read_unchanged_in_any_order_and_over_several_calls(
    settings: IndexSettings,
) -> None:
    sent = records(settings, 400)
    places = await send(settings, sent)
    by_place = dict(zip(places, sent, strict=True))
    in_order, in_disorder = sorted(places), random.Random(5).sample(places, 40)
    async with open_letter_reader(settings.kafka) as reader:
        for asked in (in_order[:150], in_order[150:], in_disorder, [places[7], places[7]], []):
            for place, record in zip(asked, await read(reader, asked), strict=True):
                assert record is not None
                wanted = by_place[place]
                assert (record.topic, record.partition, record.offset) == place
                assert (record.key, record.value, list(record.headers)) == (wanted.key, wanted.value, wanted.headers)


async def test_a_letter_far_ahead_is_reached_by_a_seek(
    settings: IndexSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    polled = 0
    getmany = AIOKafkaConsumer.getmany

    async def counted(consumer: AIOKafkaConsumer, *partitions: Any, **options: Any) -> Any:
        nonlocal polled
        found = await getmany(consumer, *partitions, **options)
        polled += sum(map(len, found.values()))
        return found

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", counted)
    sent = records(settings, SEEK_DISTANCE + 300)
    places = await send(settings, sent, partition=0)
    async with open_letter_reader(settings.kafka) as reader:
        first, last = await read(reader, [places[0], places[-1]])
    assert first is not None
    assert last is not None
    assert (first.value, last.value) == (sent[0].value, sent[-1].value)
    assert polled < SEEK_DISTANCE, "the records in between were read"


async def test_an_expired_or_unknown_record_is_none_and_the_others_are_read(
    settings: IndexSettings,
) -> None:
    sent = records(settings, 20)
    places = await send(settings, sent, partition=0)
    topic = settings.topics.dead("qdrant")
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=10)})
    await admin.close()
    asked = [
        places[3],
        places[9],
        places[10],
        Position(topic, 0, 20),
        Position(topic, 5, 0),
        Position(topic, 99, 0),
        Position("no-such-topic", 0, 0),
        places[19],
        places[0],
        places[15],
    ]
    async with open_letter_reader(settings.kafka) as reader:
        found = await read(reader, asked)
    values = [record.value if record is not None else None for record in found]
    expected = {2: sent[10].value, 7: sent[19].value, 9: sent[15].value}
    assert values == [expected.get(place) for place in range(len(asked))]


async def test_the_record_of_another_letter_at_the_same_position_is_not_read(settings: IndexSettings) -> None:
    topic = settings.topics.dead("embed")

    async def written(offset: int) -> Letter:
        failed = PlainRecord(settings.topics.source("product"), 0, offset, 1, b"p", b"{}", ())
        (at,) = await send(settings, [letter_of(settings, "embed", failed)], partition=0)
        async with open_letter_reader(settings.kafka) as reader:
            (record,) = await read(reader, [at])
        assert record is not None
        return read_letter(record, settings.topics)

    before = await written(1)
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    await admin.delete_topics([topic])
    await eventually(lambda: _created(admin, topic))
    await admin.close()
    after = await written(2)
    assert (before.at, before.id != after.id) == (after.at, True)
    foreign = replace(before, id=f"{topic}:0:0", size=1)
    with capture_logs() as logs:
        async with open_letter_reader(settings.kafka) as reader:
            for _ in range(2):
                found = await reader.records_of([before, after, foreign, replace(foreign, size=after.size)])
                assert [record is not None for record in found] == [False, True, False, True]
    assert [entry["letter"] for entry in logs] == [before.id, foreign.id], "each letter once"


async def _created(admin: AIOKafkaAdminClient, topic: str) -> bool:
    """Kafka deletes a topic some time after the call that asks for it."""
    await admin.create_topics([NewTopic(topic, 1, 1)])
    described = await admin.describe_topics([topic])
    return len(described[0]["partitions"]) == 1


async def test_a_record_that_is_published_after_the_reader_was_opened_is_read(settings: IndexSettings) -> None:
    async with open_letter_reader(settings.kafka) as reader:
        for _ in range(3):
            sent = records(settings, 3)
            places = await send(settings, sent, partition=1)
            assert [record and record.value for record in await read(reader, places)] == [one.value for one in sent]


async def test_a_reader_raises_unavailable_if_the_broker_does_not_answer() -> None:
    with pytest.raises(Unavailable, match="kafka: cannot be reached"):
        async with open_letter_reader(KafkaSettings(bootstrap_servers="127.0.0.1:1")):
            raise AssertionError("no broker is there")


async def test_an_empty_key_and_a_null_value_do_not_change(settings: IndexSettings) -> None:
    (place,) = await send(settings, [Outgoing(settings.topics.dead("embed"), b"", None, [])])
    async with open_letter_reader(settings.kafka) as reader:
        (record,) = await read(reader, [place])
    assert record is not None
    assert (record.key, record.value, tuple(record.headers)) == (b"", None, ())
