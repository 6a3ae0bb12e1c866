"""A record that cannot be read or written does not stop the others."""

from typing import Any

import pytest
from harness.kafka_record import kafka_record

from headrace_letters import index_batch
from headrace_letters.index import LetterIndex
from headrace_letters.letter import Letter, read_letter
from headrace_letters.selection import EVERYTHING
from headrace_schemas.topics import Topics

TOPICS = Topics()
DEAD = TOPICS.dead("qdrant")


async def test_a_letter_that_cannot_be_read_is_indexed_by_its_position(
    index: LetterIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(record: Any, topics: Topics) -> Letter:
        if record.value == b"3":
            raise MemoryError
        return read_letter(record, topics)

    monkeypatch.setattr(index_batch, "read_letter", failing)
    records = [kafka_record(b"%d" % number, b"k", topic=DEAD, offset=number) for number in range(8)]
    assert await index_batch.index_records(index, TOPICS, records) == 8
    indexed = {one.letter.at.offset: one.letter for one in (await index.page(EVERYTHING)).letters}
    assert set(indexed) == set(range(8))
    assert (indexed[3].reason, indexed[3].id) == ("unreadable", f"{DEAD}:0:3")


@pytest.mark.parametrize("count", [1, index_batch.PART, 2 * index_batch.PART + 1])
async def test_all_letters_of_a_batch_of_any_size_are_indexed(index: LetterIndex, count: int) -> None:
    records = [kafka_record(b"{}", b"k", topic=DEAD, offset=number) for number in range(count)]
    assert await index_batch.index_records(index, TOPICS, records) == count
    assert await index.count(EVERYTHING) == {"waiting": count}


async def test_an_empty_batch_changes_nothing(index: LetterIndex) -> None:
    assert await index_batch.index_records(index, TOPICS, []) == 0
