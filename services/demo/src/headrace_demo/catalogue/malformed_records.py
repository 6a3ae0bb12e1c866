"""Malformed records. Each must become a dead letter and change nothing."""

from collections.abc import Callable
from typing import Any

from headrace_demo.catalogue.events import Malformed, encode
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import MAX_ID_BYTES, MAX_VERSION, Kind

Record = dict[str, Any]
_TEXT_FIELDS: dict[Kind, str] = {"product": "title", "keyword": "text"}
_NUMBER_FIELDS: dict[Kind, str] = {"product": "price", "keyword": "popularity"}


def malformed_record(kind: Kind, defect: str, record: Record) -> Malformed:
    """`record`, a valid upsert, with `defect` (one of `DEFECTS`) added."""
    key = str(record[ID_FIELDS[kind]]).encode()
    if defect in _BYTES:
        return Malformed(kind, defect, key, _BYTES[defect](encode(record)))
    broken = _RECORDS[defect](kind, record)
    if defect == "id_too_long":
        key = str(broken[ID_FIELDS[kind]]).encode()
    return Malformed(kind, defect, key, encode(broken))


_BYTES: dict[str, Callable[[bytes], bytes | None]] = {
    "truncated": lambda value: value[: len(value) // 2],
    "not_utf8": lambda value: value.replace(b'"locale":"', b'"locale":"\xff'),
    "not_an_object": lambda value: b"[" + value + b"]",
    "empty": lambda value: b"",
    "null_without_version": lambda value: None,
}


def _without(field: str) -> Callable[[Kind, Record], Record]:
    return lambda kind, record: {name: value for name, value in record.items() if name != field}


def _with(field: str, wrong: object) -> Callable[[Kind, Record], Record]:
    return lambda kind, record: {**record, field: wrong}


_RECORDS: dict[str, Callable[[Kind, Record], Record]] = {
    "no_version": _without("version"),
    "version_zero": _with("version", 0),
    "version_over_63_bits": _with("version", MAX_VERSION + 1),
    "version_as_text": _with("version", "seven"),
    "version_with_fraction": _with("version", 2.5),
    "no_op": _without("op"),
    "unknown_op": _with("op", "merge"),
    "no_occurred_at": _without("occurred_at"),
    "no_text": lambda kind, record: {**record, _TEXT_FIELDS[kind]: None},
    "nul_in_text": lambda kind, record: {**record, _TEXT_FIELDS[kind]: f"{record[_TEXT_FIELDS[kind]]}\x00"},
    "number_as_words": lambda kind, record: {**record, _NUMBER_FIELDS[kind]: "on request"},
    "no_id": lambda kind, record: _without(ID_FIELDS[kind])(kind, record),
    "id_too_long": lambda kind, record: {**record, ID_FIELDS[kind]: "x" * (MAX_ID_BYTES + 1)},
    "id_is_not_the_key": lambda kind, record: {**record, ID_FIELDS[kind]: f"{record[ID_FIELDS[kind]]}-other"},
}

DEFECTS = (*_BYTES, *_RECORDS)
