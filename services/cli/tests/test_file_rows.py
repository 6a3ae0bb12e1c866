"""JSONL, CSV, Parquet and lists of ids: the fields of a row, and that a bad row does not affect the others."""

import gzip
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_cli.files import lines
from headrace_cli.files.formats import rows, rows_to_delete
from headrace_cli.files.rows import BadRow, Row, UnreadableFile
from headrace_demo.catalogue.products import products


def _file(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _read(tmp_path, name, content):
    return list(rows(_file(tmp_path, name, content)))


def _parquet(tmp_path, **columns):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table(columns), path)
    return list(rows(path))


def test_json_lines_give_objects_with_their_line(tmp_path):
    content = '\ufeff{"product_id": "p-1", "price": null}\n\n  \n{"product_id": "한국어", "price": 1.5}'
    assert _read(tmp_path, "a.jsonl", content) == [
        Row(1, {"product_id": "p-1", "price": None}),
        Row(4, {"product_id": "한국어", "price": 1.5}),
    ]


def test_gzipped_files_have_the_same_rows(tmp_path):
    assert _read(tmp_path, "a.jsonl.gz", gzip.compress(b'{"a": 1}\n')) == [Row(1, {"a": 1})]
    assert _read(tmp_path, "a.csv.gz", gzip.compress(b"a,b\n1,2\n")) == [Row(2, {"a": "1", "b": "2"})]


def test_a_line_that_is_not_an_object_is_reported_and_the_rest_is_read(tmp_path):
    content = b'{"a": 1}\n{"a": \n[1]\n\xff{}\n{"a": Infinity}\n' + b"[" * 100_000 + b'\n{"a": 2}\n'
    found = _read(tmp_path, "a.jsonl", content)
    assert [type(row) for row in found] == [Row, *[BadRow] * 5, Row]
    assert [row.line for row in found] == [1, 2, 3, 4, 5, 6, 7]
    assert [row.why.partition(":")[0] for row in found[1:5]] == [
        "is not JSON", "is not a JSON object", "is not UTF-8", "is not usable JSON",
    ]  # fmt: skip


def test_nan_in_json_is_null(tmp_path):
    assert _read(tmp_path, "a.jsonl", '{"price": NaN}\n') == [Row(1, {"price": None})]


def test_a_line_without_end_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1000)
    content = b'{"a": 1}\n"' + b"x" * 5000 + b'"\n{"a": 2}\n'
    found = _read(tmp_path, "a.jsonl", content)
    assert found[0] == Row(1, {"a": 1})
    assert isinstance(found[1], BadRow)
    assert found[2] == Row(3, {"a": 2})
    with pytest.raises(UnreadableFile, match="line 2 is longer"):
        _read(tmp_path, "a.csv", b"a\n" + b"x" * 5000 + b"\n1\n")


def test_an_empty_cell_is_absent_and_quoted_line_ends_stay(tmp_path):
    content = 'product_id,title,price\r\np-1,"two\r\nlines, ""quoted""",\r\n\r\np-2,,3\r\n'
    assert _read(tmp_path, "a.csv", "\ufeff" + content) == [
        Row(2, {"product_id": "p-1", "title": 'two\r\nlines, "quoted"'}),
        Row(5, {"product_id": "p-2", "price": "3"}),
    ]


def test_a_bad_csv_row_is_reported_by_its_first_line(tmp_path):
    content = b'a,b\n1,2\n1,2,3\n1\n"x\n",2,3\n\xff,2\n3,4\n'
    found = _read(tmp_path, "a.csv", content)
    assert [row.line for row in found if isinstance(row, BadRow)] == [3, 4, 5, 7]
    assert [row.fields for row in found if isinstance(row, Row)] == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    assert next(row.why for row in found if row.line == 7) == "is not UTF-8"


def test_a_header_that_names_a_column_twice_is_refused(tmp_path):
    with pytest.raises(UnreadableFile, match="'a' twice"):
        _read(tmp_path, "a.csv", "a,b,a\n1,2,3\n")


def test_a_parquet_null_stays_null_and_nan_becomes_null(tmp_path):
    found = _parquet(
        tmp_path,
        title=pa.array(["x", None]),
        price=pa.array([None, float("nan")], pa.float64()),
        attributes=pa.array([{"size": None}, None]),
    )
    assert found == [
        Row(1, {"title": "x", "price": None, "attributes": {"size": None}}),
        Row(2, {"title": None, "price": None, "attributes": None}),
    ]


def test_parquet_values_become_json_values(tmp_path):
    moment = datetime(2025, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    nanoseconds = pa.array([int(moment.timestamp()) * 10**9 + 123_456_789])
    (row,) = _parquet(
        tmp_path,
        decimal=pa.array([Decimal("12.90")]),
        version=pa.array([Decimal(2**63 - 1)], pa.decimal128(38, 0)),
        naive=nanoseconds.cast(pa.timestamp("ns")),
        zoned=pa.array([moment], pa.timestamp("us", tz="Asia/Seoul")),
        nested=pa.array([[{"at": moment}]], pa.list_(pa.struct([("at", pa.timestamp("ms", tz="UTC"))]))),
        attributes=pa.array([[("colour", "grey")]], pa.map_(pa.string(), pa.string())),
        day=pa.array([date(2025, 3, 1)]),
        binary=pa.array(["텍스트".encode()]),
        category=pa.array(["chair"]).dictionary_encode(),
    )
    assert json.loads(json.dumps(row.fields)) == {
        "decimal": 12.9,
        "version": 2**63 - 1,
        "naive": "2025-03-01T12:00:00.123456Z",
        "zoned": "2025-03-01T12:00:00.123456Z",
        "nested": [{"at": "2025-03-01T12:00:00.123000Z"}],
        "attributes": {"colour": "grey"},
        "day": "2025-03-01",
        "binary": "텍스트",
        "category": "chair",
    }


def test_one_unreadable_parquet_row_among_thousands_is_reported_alone(tmp_path):
    values = [f"row {number}".encode() for number in range(1, 3001)]
    values[1499] = b"\xff\xfe"
    found = _parquet(tmp_path, title=pa.array(values))
    assert [row.line for row in found] == list(range(1, 3001))
    assert [row.line for row in found if isinstance(row, BadRow)] == [1500]


def test_a_parquet_time_beyond_the_calendar_is_a_bad_row(tmp_path):
    found = _parquet(tmp_path, at=pa.array([2**62, 0], pa.timestamp("us")))
    assert [type(row) for row in found] == [BadRow, Row]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b"not parquet"),
        ("a.jsonl.gz", b"not gzip"),
        ("a.csv.gz", gzip.compress(b"a\n" * 99, mtime=0)[:-9]),
    ],
)
def test_a_file_of_another_kind_is_refused_in_one_line(tmp_path, name, content):
    with pytest.raises(UnreadableFile) as refusal:
        _read(tmp_path, name, content)
    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_and_an_unknown_name_are_refused(tmp_path):
    with pytest.raises(UnreadableFile, match="no such file"):
        rows(tmp_path / "a.jsonl")
    with pytest.raises(UnreadableFile, match=r"name it \.jsonl"):
        rows(_file(tmp_path, "a.xlsx", ""))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ids.txt", " p-1 \n\np-2/한정판 🎁\n"),
        ("ids", "p-1\n\np-2/한정판 🎁"),
        ("ids.jsonl", '"p-1"\n\n{"product_id": "p-2/한정판 🎁"}\n'),
        ("ids.csv", "p-1\n\np-2/한정판 🎁\n"),
    ],
)
def test_ids_to_delete_come_from_text_json_lines_or_one_csv_column(tmp_path, name, content):
    found = list(rows_to_delete(_file(tmp_path, name, content), "product"))
    assert found == [Row(1, {"product_id": "p-1"}), Row(3, {"product_id": "p-2/한정판 🎁"})]


def test_ids_to_delete_may_come_with_a_header_and_their_versions(tmp_path):
    with_header = _file(tmp_path, "ids.csv", "keyword_id,version\nk-1,7\n")
    assert list(rows_to_delete(with_header, "keyword")) == [Row(2, {"keyword_id": "k-1", "version": "7"})]
    one_column = _file(tmp_path, "one.csv", "keyword_id\nk-1\n")
    assert list(rows_to_delete(one_column, "keyword")) == [Row(2, {"keyword_id": "k-1"})]


def test_progress_ends_at_the_size_of_the_file(tmp_path):
    made = list(products(7, 1000))
    content = "".join(json.dumps(row) + "\n" for row in made)
    source = rows(_file(tmp_path, "a.jsonl", content))
    positions = [source.position for _ in source]
    assert positions == sorted(positions)
    assert 0 < positions[500] < source.size == source.position
    pq.write_table(pa.Table.from_pylist(made), tmp_path / "a.parquet")
    table = rows(tmp_path / "a.parquet")
    assert [row.fields["product_id"] for row in table] == [row["product_id"] for row in made]
    assert table.position == table.size == 1000
