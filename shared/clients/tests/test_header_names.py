"""Header names that are not UTF-8, in batches as Kafka stores them."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchBuilderPy

from headrace_clients.header_names import EscapedName
from headrace_clients.kafka import consumer_options
from headrace_worker.settings import KafkaSettings

AIOKAFKA = "0.14"
"""The version whose `fetcher.MemoryRecords` is replaced."""


class NotUtf8(str):
    """A header's name as a client in another language may write it."""

    def encode(self, *args: str) -> bytes:
        return b"a\xff"


def batch(base_offset: int, codec: int) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, 0, 100_000)
    builder.append(0, 1, b"k", b"v", [("good", b"1")])
    builder.append(1, 1, b"k", None, [("good", b"1"), (NotUtf8(), b"\xff"), ("\u00e9", None)])
    builder.append(2, 1, None, b"v", [])
    built = bytearray(builder.build())
    built[:8] = base_offset.to_bytes(8, "big")
    return bytes(built)


def read(content: bytes, offset: int) -> Iterator[Any]:
    """What a consumer gets that fetches from that offset."""
    consumer_options(KafkaSettings())
    place, records = TopicPartition("t", 0), fetcher.MemoryRecords(content)
    return iter(fetcher.PartitionRecords(place, records, [], offset, None, None, True, fetcher.READ_COMMITTED))


@pytest.mark.parametrize("codec", range(5), ids=["none", "gzip", "snappy", "lz4", "zstd"])
def test_a_name_that_is_not_utf8_is_escaped_and_every_record_comes_once(codec: int) -> None:
    records = list(read(batch(0, codec) + batch(3, codec), 0))
    assert [record.offset for record in records] == list(range(6))
    escaped = records[1]
    assert (escaped.key, escaped.value) == (b"k", None)
    assert list(escaped.headers) == [("good", b"1"), (r"a\xff", b"\xff"), ("\u00e9", None)]
    assert [type(name) for name, _ in escaped.headers] == [str, EscapedName, str]
    assert [type(name) for record in (records[0], records[3]) for name, _ in record.headers] == [str, str]


def test_reading_continues_in_the_middle_of_such_a_batch() -> None:
    assert [record.offset for record in read(batch(0, 0), 1)] == [1, 2]
    assert [record.offset for record in read(batch(0, 0), 2)] == [2]


def test_aiokafka_is_the_version_that_was_checked() -> None:
    installed = version("aiokafka")
    moved = f"aiokafka {installed} is installed and {AIOKAFKA} was checked: does header_names still work?"
    with pytest.raises(UnicodeDecodeError):
        list(DefaultRecordBatch(batch(0, 0)))
    assert installed.startswith(f"{AIOKAFKA}."), moved
