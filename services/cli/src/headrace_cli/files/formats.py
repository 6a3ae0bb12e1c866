"""The format of a file, by its name."""

from pathlib import Path

from headrace_cli.files.csv_file import CsvFile
from headrace_cli.files.id_list import IdList
from headrace_cli.files.json_lines import JsonLinesFile
from headrace_cli.files.rows import RowFile, UnreadableFile
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import Kind


def rows(path: Path) -> RowFile:
    """The rows of a JSONL (`.jsonl`, `.ndjson`), CSV (`.csv`, or `.tsv` with tabs) or Parquet (`.parquet`) file.

    JSONL and CSV may be gzipped.

    Raises UnreadableFile if there is no such file or its format is unknown.
    """
    file = _file(path, None)
    if file is None:
        raise UnreadableFile(f"{path}: name it .jsonl, .csv, .tsv (each may end in .gz) or .parquet")
    return file


def rows_to_delete(path: Path, kind: Kind) -> RowFile:
    """The rows of a list of ids: the same formats; a file with any other name is read as text with one id in each line.

    In JSONL a line may be only the id in quotes. A CSV file of one column needs no header. A row has the field of the
    id, and the file's other columns, such as a version. Raises UnreadableFile if there is no such file.
    """
    return _file(path, ID_FIELDS[kind]) or IdList(path, ID_FIELDS[kind])


def _file(path: Path, id_field: str | None) -> RowFile | None:
    if path.is_dir():
        raise UnreadableFile(f"{path}: is a directory: publish its files one by one")
    if not path.is_file():
        raise UnreadableFile(f"{path}: no such file")
    match path.name.lower().removesuffix(".gz").rpartition(".")[2]:
        case "jsonl" | "ndjson":
            return JsonLinesFile(path, id_field)
        case "csv":
            return CsvFile(path, id_field)
        case "tsv":
            return CsvFile(path, id_field, "\t")
        case "parquet":
            from headrace_cli.files.parquet import ParquetFile

            return ParquetFile(path)
        case _:
            return None
