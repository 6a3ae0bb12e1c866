"""Files that are not what their name or header says are refused once, and no row of them is lost without a word."""

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_cli.files.formats import rows, rows_to_delete
from headrace_cli.files.records import FileRecords, RowFormat
from headrace_cli.files.rows import BadRow, Row, UnreadableFile
from headrace_cli.source_producer import SourceRecord

Written = Callable[[str, str | bytes], Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Makes a file."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def published(path: Path, *, delete: bool = False, version: int | None = None) -> tuple[list[str], str]:
    """The ids that are published, and why the file is not read beyond them; "" if it is."""
    ids: list[str] = []
    try:
        file = rows_to_delete(path, "product") if delete else rows(path)
        for record in FileRecords(file, RowFormat("product", delete=delete, version=version)):
            assert isinstance(record, SourceRecord), record
            ids.append(record.key.decode())
    except UnreadableFile as refused:
        return ids, str(refused)
    return ids, ""


@pytest.mark.parametrize(
    ("content", "separator"),
    [
        ("\ufeffproduct_id;version;title;price\r\na;1;Cup;19,99\r\n", "';'"),
        ('"product_id";"version";"title"\na;1;Cup\n', "';'"),
        ("sep=;\nproduct_id;version;title\na;1;Cup\n", "';'"),
        ('product_id;version;"title, long";price\na;1;Cup;1\n', "';'"),
        ("product_id\tversion\ttitle\na\t1\tCup\n", "a tab"),
        ("product_id|version|title\na|1|Cup\n", "'|'"),
    ],
)
def test_a_csv_file_with_another_separator_is_refused_once(written: Written, content: str, separator: str) -> None:
    ids, why = published(written("a.csv", content))
    assert ids == []
    assert f"its separator is {separator}, and must be a comma" in why


def test_ids_to_delete_may_contain_semicolons(written: Written) -> None:
    assert published(written("a.csv", "p;1\np;2\n"), delete=True, version=1) == (["p;1", "p;2"], "")
    ids, why = published(written("b.csv", "product_id;version\np;2\n"), delete=True)
    assert (ids, "its separator is ';'" in why) == ([], True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("shop.csv", "Handle,Title,Variant Price\nred-cup,Red cup,15.00\n"),
        ("case.csv", "Product_ID,Version,Title\na,1,Cup\n"),
        ("spaces.csv", "product_id, version, title\na, 1, Cup\n"),
        ("google.tsv", "id\ttitle\tprice\na\tCup\t15.00 USD\n"),
    ],
)
def test_a_file_without_the_columns_of_its_kind_is_refused_once(written: Written, name: str, content: str) -> None:
    ids, why = published(written(name, content))
    assert ids == []
    assert "it needs the column" in why
    assert "version" in why
    assert content.partition("\n")[0].replace("\t", ",").split(",")[0] in why


def test_a_file_of_deletes_among_other_operations_needs_no_title(written: Written) -> None:
    assert published(written("a.csv", "product_id,version,op\na,1,delete\n")) == (["a"], "")
    ids, why = published(written("b.csv", "product_id,version,price\na,1,5\n"))
    assert (ids, "it needs the column title" in why) == ([], True)


def test_a_parquet_file_without_the_columns_of_its_kind_is_refused_once(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "title": ["Cup"]}), tmp_path / "a.parquet")
    ids, why = published(tmp_path / "a.parquet")
    assert (ids, "it needs the columns product_id, version, and has 'id', 'title'" in why) == ([], True)


def test_a_list_of_ids_needs_the_column_of_the_id_only(written: Written) -> None:
    assert published(written("a.csv", ",product_id\n0,a\n"), delete=True, version=5) == (["a"], "")
    ids, why = published(written("b.csv", "a,x\nb,y\n"), delete=True, version=5)
    assert (ids, "it needs the column product_id" in why) == ([], True)


def test_tabs_separate_the_cells_of_a_tsv_file(written: Written) -> None:
    assert list(rows(written("a.tsv", 'product_id\tversion\ttitle\na\t1\t"Cup, 0.5\tl"\n'))) == [
        Row(2, {"product_id": "a", "version": "1", "title": "Cup, 0.5\tl"})
    ]
    assert published(written("b.tsv.gz", gzip.compress(b"product_id\tversion\ttitle\nb\t1\tCup\n"))) == (["b"], "")


def test_a_cell_may_be_as_large_as_a_record(written: Written) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["product_id", "version", "title", "description"], ["a", 1, "Cup", "word\n" * 60_000]])
    (row,) = rows(written("a.csv", text.getvalue()))
    assert isinstance(row, Row)
    assert row.fields["description"] == "word\n" * 60_000


@pytest.mark.parametrize(
    ("rest", "line"),
    [
        ('"Monitor 27 inch,1.5\nghost,1,Ghost,1\n', 4),
        ('"Monitor 27 inch,1.5\nghost,1,Ghost,1\nc,1,"Cup",1\n', 4),
        ('"Monitor 27" wide,\nghost,1,Ghost,1\n",1.5\n', 4),
        ('Monitor,1.5\nd,1,"Cup"s,1\nghost,1,Ghost,1\n', 5),
    ],
)
def test_no_row_is_read_beyond_a_wrong_quote(written: Written, rest: str, line: int) -> None:
    content = "product_id,version,title,price\na,1,Cup,1\nb,1,Plate,1\nc,1," + rest
    ids, why = published(written("a.csv", content))
    assert ids == ["a", "b"] + ["c"] * (line - 4)
    assert f"line {line} is not CSV" in why
    assert "no row from this line on is read" in why


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", gzip.compress(b'{"product_id": "a"}\n' * 99, mtime=0), "is gzip inside: name it a.jsonl.gz"),
        ("a.csv", gzip.compress(b"a,b\n" * 99, mtime=0), "is gzip inside: name it a.csv.gz"),
        ("a.jsonl", '{"product_id": "a"}'.encode("utf-16"), "is UTF-16 inside: save it as UTF-8"),
        ("a.csv", b"\xfe\xff" + "product_id,version".encode("utf-16-be"), "is UTF-16 inside: save it as UTF-8"),
        ("a.csv", b"PK\x03\x04 a workbook", "is a zip archive or an Excel workbook inside"),
        ("a.csv", b"\x28\xb5\x2f\xfd\x00", "is zstd inside"),
        ("a.jsonl", b"PAR1\x15\x04", "is Parquet inside: name it a.parquet"),
    ],
)
def test_a_file_with_other_content_than_its_name_says_is_refused_once(
    written: Written, name: str, content: str | bytes, said: str
) -> None:
    path = written(name, content)
    assert said in published(path)[1]
    assert said in published(path, delete=True, version=1)[1]


def test_a_directory_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "spark.parquet").mkdir()
    assert "is a directory: publish its files" in published(tmp_path / "spark.parquet")[1]
    assert "is a directory" in published(tmp_path, delete=True, version=1)[1]


def test_ids_to_delete_may_be_in_quotes_and_have_a_heading(written: Written) -> None:
    content = 'product_id\n"a"\n"b ""12"""\n c \n"d\ne"\n\'f\'\n'
    read = list(rows_to_delete(written("a.txt", content), "product"))
    assert [row.fields["product_id"] for row in read if isinstance(row, Row)] == ["a", 'b "12"', "c"]
    refused = [(row.line, "quote" in row.why) for row in read if isinstance(row, BadRow)]
    assert refused == [(5, True), (6, True), (7, True)]
    assert "UTF-16" in published(written("b.txt", "a\n".encode("utf-16")), delete=True, version=1)[1]


def test_a_parquet_file_that_names_a_column_twice_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["title", "title"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UnreadableFile, match="'title' twice"):
        rows(tmp_path / "a.parquet")


def test_nanoseconds_are_read_wherever_parquet_may_have_them(tmp_path: Path) -> None:
    at = pa.array([1_772_400_000_123_456_789], pa.timestamp("ns"))
    nested = {
        "fixed": pa.FixedSizeListArray.from_arrays(at, 1),
        "listed": pa.array([[at[0].value]], pa.list_(pa.timestamp("ns"))),
        "named": pa.array([[("x", at[0].value)]], pa.map_(pa.string(), pa.timestamp("ns"))),
        "coded": at.dictionary_encode(),
    }
    pq.write_table(pa.table(nested), tmp_path / "a.parquet")
    (row,) = rows(tmp_path / "a.parquet")
    assert isinstance(row, Row), row
    moment = "2026-03-01T21:20:00.123456Z"
    assert row.fields == {"fixed": [moment], "listed": [moment], "named": {"x": moment}, "coded": moment}
