"""The record of a file's row, and the message about a row that can never be a record."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headrace_cli.files.formats import rows
from headrace_cli.files.records import FileRecords, RecentPairs, RowFormat, source_record
from headrace_cli.files.rows import BadRow, Row
from headrace_cli.source_producer import SourceRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = {"product_id": "p/1 한", "title": "Lamp", "version": 7, "price": "12.5", "unknown": 1}


def record(fields: dict[str, Any], **row_format: Any) -> tuple[SourceRecord, int]:
    return source_record(Row(1, fields), RowFormat("product", **row_format), NOW)


def why(fields: dict[str, Any], **row_format: Any) -> str:
    with pytest.raises(ValueError, match=r"^\w") as refused:
        record(fields, **row_format)
    return str(refused.value)


def test_a_row_becomes_a_record_keyed_by_its_id() -> None:
    made, version = record(GOOD)
    assert (made.kind, made.key, version) == ("product", "p/1 한".encode(), 7)
    assert json.loads(made.value or b"") == {
        "op": "upsert",
        "product_id": "p/1 한",
        "title": "Lamp",
        "price": 12.5,
        "version": 7,
        "occurred_at": "2026-01-01T00:00:00.000000+00:00",
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": None}, "has no version"),
        ({"version": 0}, "has a wrong version"),
        ({"version": 2**63}, "has a wrong version"),
        ({"product_id": "x" * 513}, "an id has 1 to 512 bytes of UTF-8, this one has 513"),
        ({"title": "x" * 10_001}, "has a wrong title: String should have at most 10000 characters"),
        ({"title": None}, "an upsert of a product needs a title"),
        ({"title": "a\x00b"}, "contains U+0000"),
        ({"title": "a\ud83d"}, "surrogate"),
        ({"attributes": {"weight": float("inf")}}, "cannot be written as JSON"),
        ({"op": "merge"}, "has a wrong op"),
        ({"occurred_at": "2026-01-01T00:00:00"}, "has a wrong occurred_at"),
        ({"description": "x" * 1_048_576}, "the topic accepts 1048576"),
    ],
)
def test_a_row_that_every_worker_would_reject_is_not_published(change: dict[str, Any], said: str) -> None:
    assert said in why(GOOD | change)


def test_a_delete_has_only_the_fields_of_a_delete() -> None:
    made, version = record(GOOD, delete=True)
    assert json.loads(made.value or b"").keys() == {"op", "product_id", "version", "occurred_at"}
    assert version == 7


def test_an_id_without_a_version_is_deleted_with_the_given_version() -> None:
    assert record({"product_id": "p"}, delete=True, version=9)[1] == 9
    assert "--version" in why({"product_id": "p"}, delete=True)


def test_a_version_from_another_column() -> None:
    assert record(GOOD | {"changed": "2026-01-01T00:00:00Z"}, version_field="changed")[1] == 1_767_225_600_000_000


class Rows:
    path = Path("rows")
    columns = None
    size = position = 0

    def __init__(self, *rows: Row | BadRow) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[Row | BadRow]:
        return iter(self._rows)


def test_bad_rows_keep_their_line_and_do_not_stop_the_rest() -> None:
    rows = Rows(Row(1, GOOD), BadRow(2, "is not JSON"), Row(3, {"title": "no id", "version": 1}), Row(4, GOOD))
    read = list(FileRecords(rows, RowFormat("product")))
    assert [row.line for row in read if isinstance(row, BadRow)] == [2, 3]
    assert len([row for row in read if isinstance(row, SourceRecord)]) == 2


def test_each_price_that_is_no_number_is_refused_with_its_line_and_value(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text('product_id,version,title,price\na,1.0,t,"19,99"\nb,2.0,t,19.99\nc,3.0,t,19.99 EUR\n')
    read = list(FileRecords(rows(path), RowFormat("product")))
    refused = [(one.line, one.why) for one in read if isinstance(one, BadRow)]
    assert [line for line, _ in refused] == [2, 4]
    assert "'19,99'" in refused[0][1]
    assert "'19.99 EUR'" in refused[1][1]
    (good,) = [json.loads(one.value or b"") for one in read if isinstance(one, SourceRecord)]
    assert (good["version"], good["price"]) == (2, 19.99)


def test_a_repeated_id_and_version_is_counted() -> None:
    records = FileRecords(Rows(Row(1, GOOD), Row(2, GOOD | {"version": 8}), Row(3, GOOD)), RowFormat("product"))
    assert len(list(records)) == 3
    assert records.repeated == 1


def test_repetitions_are_noticed_within_the_last_rows_and_memory_is_bounded() -> None:
    pairs = RecentPairs(remembered=10)
    assert not any(pairs.contains_or_adds(f"p{number}", 1) for number in range(1000))
    assert all(pairs.contains_or_adds(f"p{number}", 1) for number in range(990, 1000))
    assert not pairs.contains_or_adds("p0", 1)
    assert len(pairs) <= 20
