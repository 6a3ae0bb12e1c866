"""Which reader a file needs, by its name."""

from pathlib import Path

from headrace_cli.files.csv_file import CommaSeparated
from headrace_cli.files.id_list import IdList
from headrace_cli.files.json_lines import JsonLines
from headrace_cli.files.parquet import Parquet
from headrace_cli.files.rows import Source, UnreadableFile
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import Kind


def rows(path: Path) -> Source:
    """The rows of a JSONL (`.jsonl`, `.ndjson`), CSV (`.csv`) or Parquet (`.parquet`) file; the first two also gzipped.

    Raises UnreadableFile if there is no such file or no reader for it.
    """
    source = _reader(path, None)
    if source is None:
        raise UnreadableFile(f"{path}: name it .jsonl, .csv (either may end in .gz) or .parquet")
    return source


def rows_to_delete(path: Path, kind: Kind) -> Source:
    """The rows of a list of ids: the same formats, and any other name is read as text with one id a line.

    In JSONL a line may be the bare id in quotes; a CSV file of one column needs no header. A row has at least the id's
    field, and the other columns there are, such as a version. Raises UnreadableFile if there is no such file.
    """
    return _reader(path, ID_FIELDS[kind]) or IdList(path, ID_FIELDS[kind])


def _reader(path: Path, id_field: str | None) -> Source | None:
    if not path.is_file():
        raise UnreadableFile(f"{path}: no such file")
    match path.name.lower().removesuffix(".gz").rpartition(".")[2]:
        case "jsonl" | "ndjson":
            return JsonLines(path, id_field)
        case "csv":
            return CommaSeparated(path, id_field)
        case "parquet":
            return Parquet(path)
        case _:
            return None
