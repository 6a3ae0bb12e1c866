"""Files of a catalogue: CSV, TSV, JSON Lines, lists of ids, Parquet, gzipped or not."""

import csv
import gzip
import io
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from fuzz.values import Target, damaged, json_values, objects, storable, texts, written
from headrace_cli.files.formats import rows, rows_to_delete
from headrace_cli.files.records import FileRecords, RowFormat
from headrace_cli.files.rows import BadRow, UnreadableFile
from headrace_cli.source_producer import SourceRecord

VALID: dict[str, Any] = {"product_id": "p1", "keyword_id": "p1", "version": 7, "title": "a title", "text": "a text"}
FIELDS = ("op", "occurred_at", "price", "popularity", "currency", "attributes", "brand", "category")

objects_of_rows = objects(FIELDS, VALID)
json_lines = st.lists(objects_of_rows.map(written) | json_values.map(written), max_size=4).map(b"\n".join)
cells = st.lists(texts, max_size=6)
cell_types = (
    pa.int64(), pa.float64(), pa.float16(), pa.string(), pa.large_string(), pa.binary(), pa.bool_(), pa.null(),
    pa.date32(), pa.date64(), pa.time32("ms"), pa.time64("ns"), pa.timestamp("ns"), pa.timestamp("s"),
    pa.timestamp("us", tz="Asia/Seoul"), pa.duration("ns"), pa.duration("s"), pa.decimal128(38, 10), pa.uint64(),
    pa.list_(pa.int32()), pa.large_list(pa.binary()), pa.list_(pa.float32(), 2), pa.map_(pa.string(), pa.int8()),
    pa.struct([("a", pa.timestamp("ns")), ("b", pa.float16())]), pa.dictionary(pa.int8(), pa.string()),
)  # fmt: skip


def _csv(separator: str) -> st.SearchStrategy[bytes]:
    def table(header: list[str], lines: list[list[str]]) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=separator)
        writer.writerow(header)
        writer.writerows(lines)
        return text.getvalue().encode(errors="surrogatepass")

    names = st.just(["product_id", "version", "title"]) | st.lists(st.sampled_from([*VALID, *FIELDS]) | texts)
    lines = st.lists(cells | st.tuples(storable, storable, storable).map(list), max_size=4)
    return st.builds(table, names, lines)


@st.composite
def _parquet(draw: st.DrawFn) -> bytes:
    """Columns of any type, also where the catalogue's own fields are expected. The values are zeros and nulls."""
    names = draw(st.lists(st.sampled_from([*VALID, *FIELDS]) | storable, min_size=1, max_size=6))
    columns = [_column(draw(st.sampled_from(cell_types)), draw(st.binary(min_size=64, max_size=64))) for _ in names]
    written = io.BytesIO()
    try:
        pq.write_table(pa.Table.from_arrays(columns, names=names), written)
    except (pa.ArrowException, ValueError):
        return b"PAR1"
    return written.getvalue()


def _column(kind: Any, content: bytes) -> Any:
    """Two rows: any bits as the value of a fixed width, and null."""
    if pa.types.is_dictionary(kind):
        return pa.array([content[:4].hex(), None]).dictionary_encode().cast(kind)
    try:
        numbers = pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(content)])
        return pa.concat_arrays([numbers, pa.nulls(1, kind)])
    except (pa.ArrowException, ValueError, NotImplementedError):
        return pa.nulls(2, kind)


contents: dict[str, st.SearchStrategy[bytes]] = {
    ".jsonl": json_lines,
    ".csv": _csv(","),
    ".tsv": _csv("\t"),
    ".txt": st.lists(texts, max_size=5).map(lambda ids: "\n".join(ids).encode(errors="surrogatepass")),
    ".parquet": _parquet(),
}


@st.composite
def named_files(draw: st.DrawFn) -> tuple[str, bytes]:
    """The name of a file and its content."""
    suffix = draw(st.sampled_from(sorted(contents)))
    content = draw(damaged(contents[suffix] | st.binary(max_size=60)))
    if suffix != ".parquet" and draw(st.booleans()):
        return f"rows{suffix}.gz", draw(damaged(st.just(gzip.compress(content, mtime=0))))
    return f"rows{suffix}", content


def _read(file: tuple[str, bytes], kind: Any, delete: bool, version: int | None, version_field: str) -> None:
    """A row is a record that every worker accepts or a bad row with its line; a file that cannot be read says so."""
    name, content = file
    row_format = RowFormat(kind, version_field, delete, version if delete else None)
    found: list[SourceRecord | BadRow] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            found += FileRecords(rows_to_delete(path, kind) if delete else rows(path), row_format)
        except UnreadableFile as error:
            why = str(error)
        else:
            why = f"{path} is read"
    assert str(path) in why
    assert "\n" not in why
    for row in found:
        assert isinstance(row, SourceRecord | BadRow)
        if isinstance(row, BadRow):
            assert row.line >= 1
            assert row.why


reading = Target(
    _read,
    {
        "file": named_files(),
        "kind": st.sampled_from(["product", "keyword"]),
        "delete": st.booleans(),
        "version": st.none() | st.integers(1, 2**63 - 1),
        "version_field": st.sampled_from(["version", "updated_at", "title"]),
    },
)
