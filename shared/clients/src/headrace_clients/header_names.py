"""Lets aiokafka's consumers read a record with a header whose name is not UTF-8.

The protocol says that a name is UTF-8, and no broker checks it. aiokafka raises UnicodeDecodeError for such a record at
every poll, so that no reader would ever get past it. It has no public way to change that: `read_any_header_name`
replaces the class with which its fetcher reads batches, `aiokafka.consumer.fetcher.MemoryRecords`.
"""

import struct
from collections.abc import Iterator
from typing import Any, SupportsIndex

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_BATCH_START = struct.Struct(">qi")
"""Base offset, and the length of the rest of the batch in bytes."""


class EscapedName(str):
    """The name of a header that is not UTF-8. Each byte that cannot be decoded is written as `\\xNN`."""

    __slots__ = ()


def read_any_header_name() -> None:
    """From now on no consumer of this process raises for the name of a header. Safe to repeat."""
    fetcher.MemoryRecords = _Batches


class _Batches:
    """aiokafka's MemoryRecords, which also keeps where each batch starts."""

    def __init__(self, buffer: bytes) -> None:
        self._buffer = memoryview(buffer)
        self._next = 0
        self._batches = MemoryRecords(buffer)

    def size_in_bytes(self) -> int:
        return int(self._batches.size_in_bytes())

    def has_next(self) -> bool:
        return bool(self._batches.has_next())

    def next_batch(self) -> "_Batch":
        start = self._next
        _, length = _BATCH_START.unpack_from(self._buffer, start)
        self._next = start + _BATCH_START.size + length
        return _Batch(self._batches.next_batch(), self._buffer[start : self._next])


class _Batch:
    """aiokafka's batch. If a name cannot be decoded, all of it is read again by the Python parser, and the fetcher
    skips the records that it has had already.
    """

    def __init__(self, batch: Any, content: memoryview) -> None:
        self._batch = batch
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except UnicodeDecodeError:
            yield from _EscapingBatch(self._content)


class _EscapingBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka declares it final
    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer: bytearray = _EscapingBytes(self._buffer)


class _EscapingBytes(bytearray):
    """Bytes whose parts decode without an error."""

    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        part = super().__getitem__(key)
        return _EscapingBytes(part) if isinstance(part, bytearray) else part

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        try:
            return super().decode(encoding, errors)
        except UnicodeDecodeError:
            return EscapedName(super().decode(encoding, "backslashreplace"))
