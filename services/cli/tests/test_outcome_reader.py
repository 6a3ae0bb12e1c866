"""What `headrace wait` reads of Kafka: it does not take a lost record for none, and it does not wait for ever."""

import asyncio
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from headrace_cli.outcome_reader import OutcomeReader, find_missing_records, put_record
from headrace_cli.record_outcomes import Part, RecordOutcomes
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.topics import Topics
from headrace_worker.settings import CommonSettings

PLACE = TopicPartition("headrace.products.embedded.m", 0)
FIRST, END = 3, 8
RECORDS = (4, 6)
"""Of the offsets 0 to 7, the first three have expired, and 3, 5 and 7 have no record."""


class Broker:
    """One partition as a consumer sees it. `away`: it delivers nothing."""

    def __init__(self, away: bool = False) -> None:
        self._away = away
        self._position = 0

    def __call__(self, **options: Any) -> "Broker":
        return self

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def assign(self, partitions: Any) -> None: ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._position = offset

    async def beginning_offsets(self, partitions: Any) -> Mapping[TopicPartition, int]:
        return {PLACE: FIRST}

    async def end_offsets(self, partitions: Any) -> Mapping[TopicPartition, int]:
        return {PLACE: END}

    async def position(self, partition: TopicPartition) -> int:
        return self._position

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int) -> Mapping[TopicPartition, list[Any]]:
        await asyncio.sleep(0.01)
        if self._away:
            return {}
        left = [offset for offset in RECORDS if offset >= self._position]
        self._position = END
        records = [SimpleNamespace(topic=PLACE.topic, partition=0, offset=offset) for offset in left]
        return {PLACE: records} if records else {}


async def test_records_that_expired_unread_are_not_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace_cli.outcome_reader.AIOKafkaConsumer", Broker())
    outcomes = RecordOutcomes({Part("qdrant", PLACE): 0})
    outcomes.pin("qdrant", {PLACE: END})
    outcomes.put(Part("qdrant", PLACE), [(offset, "applied") for offset in RECORDS])
    await find_missing_records(CommonSettings().kafka, outcomes, finished=True)
    [counts] = outcomes.counts()
    assert (counts.applied, counts.unanswered) == (len(RECORDS), FIRST)


async def test_reading_receipts_ends_although_kafka_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace_cli.outcome_reader.AIOKafkaConsumer", Broker(away=True))
    monkeypatch.setattr("headrace_cli.outcome_reader.ANSWER_SECONDS", 0.1)
    reader = OutcomeReader(CommonSettings(), RecordOutcomes({}), {PLACE: 0})
    reading = asyncio.create_task(reader.read())
    done, _ = await asyncio.wait({reading}, timeout=5)
    reading.cancel()
    assert done, "it still reads"
    assert isinstance(reading.exception(), TimeoutError)


def test_changes_of_the_canary_are_not_counted() -> None:
    """Nobody who waits for a publication has published them."""
    outcomes = RecordOutcomes({Part("qdrant", PLACE): 0})
    outcomes.pin("qdrant", {PLACE: 2})
    receipt = {"topic": PLACE.topic, "partition": 0, "outcome": "applied", "kind": "product"}
    receipts = [receipt | {"offset": 0, "id": CANARY_ID}, receipt | {"offset": 1, "id": "a"}]
    batch = {"worker": "qdrant", "receipts": receipts}
    put_record(outcomes, SimpleNamespace(topic=Topics().receipts, value=json.dumps(batch)), Topics())
    [counts] = outcomes.counts()
    assert (counts.records, counts.applied, outcomes.records_on({PLACE.topic})) == (1, 1, 1)


@pytest.mark.parametrize(
    "value", [b'{"worker": "w", "receipts": [null]}', b'{"worker": "w", "receipts": [1, []]}', b"[]", b"7"]
)
def test_a_record_that_is_no_receipt_is_ignored(value: bytes) -> None:
    topics = CommonSettings().topics
    outcomes = RecordOutcomes({Part("w", PLACE): FIRST})
    outcomes.pin("w", {PLACE: END})
    put_record(outcomes, SimpleNamespace(topic=topics.receipts, value=value), topics)
    assert [counts.unanswered for counts in outcomes.counts()] == [END - FIRST]
