"""Parquet files, read a thousand rows at a time."""

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_cli.files.rows import BadRow, Row, UnreadableFile, check_names

_BATCH_ROWS = 1024
_BUFFER_BYTES = 2**20


class ParquetFile:
    """A `RowFile` whose values are those that JSON can express.

    Null and NaN become null. Times become ISO 8601 texts in UTC, to the microsecond (a time without a time zone is read
    as UTC). Decimals become numbers, durations seconds. Binary columns become text; a value that is not UTF-8 makes a
    bad row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # The columns are buffered. Otherwise a row group, which may be the whole file, is read into memory at once.
            self._file = pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        except (OSError, pa.ArrowException) as error:
            raise UnreadableFile(f"{path}: {_first_line(error)}") from error
        self.columns = list(self._file.schema_arrow.names)
        check_names(path, self.columns)
        self.size = int(self._file.metadata.num_rows)
        self.position = 0

    def __iter__(self) -> Iterator[Row | BadRow]:
        try:
            with self._file as file:
                for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
                    yield from _rows(batch, self.position)
                    self.position += batch.num_rows
        except (OSError, pa.ArrowException) as error:
            raise UnreadableFile(f"{self.path}: {_first_line(error)}") from error


def _rows(batch: Any, before: int) -> Iterator[Row | BadRow]:
    try:
        read = [Row(before + number, fields) for number, fields in enumerate(_fields(batch), 1)]
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        if batch.num_rows == 1:
            yield BadRow(before + 1, f"cannot be read: {_first_line(error)}")
            return
        for number in range(batch.num_rows):
            yield from _rows(batch.slice(number, 1), before + number)
    else:
        yield from read


def _fields(batch: Any) -> list[dict[str, Any]]:
    # Python's times have microseconds, so nanoseconds are cut off. With UTC no time zone database is needed.
    columns = [column.cast(_readable(column.type), safe=False) for column in batch.columns]
    table = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    return [
        {name: _jsonable(value) for name, value in row.items()} for row in table.to_pylist(maps_as_pydicts="strict")
    ]


def _readable(kind: Any) -> Any:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us" if kind.unit == "ns" else kind.unit, tz="UTC")
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    if pa.types.is_time64(kind):
        return pa.time64("us")
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_readable(field.type)) for field in kind])
    if pa.types.is_dictionary(kind):
        return _readable(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.large_list(_readable(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(_readable(kind.key_type), _readable(kind.item_type))
    return kind


def _jsonable(value: Any) -> Any:
    match value:
        case float():
            return None if math.isnan(value) else value
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes():
            return value.decode()
        case dict():
            return {str(name): _jsonable(item) for name, item in value.items()}
        case list():
            return [_jsonable(item) for item in value]
        case None | bool() | int() | str():
            return value
        case _:
            return str(value)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
