"""The change that a row asks for."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace_schemas.changes import CHANGES, ID_FIELDS
from headrace_schemas.fields import Kind

_NUMBERS = ("price", "popularity")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT_FLOATS = 2.0**53


def change_of(
    fields: dict[str, Any],
    kind: Kind,
    *,
    now: datetime,
    version_field: str = "version",
    delete: bool = False,
    default_version: int | None = None,
) -> dict[str, Any]:
    """The change that a row asks for, not yet validated by `headrace_schemas.changes.CHANGES[kind]`.

    `op` is the row's, or an upsert. With `delete` it is a delete, which has only id, version and time. `occurred_at`
    is the row's, or `now`. `version_of` reads the version from `version_field`; a row without one gets
    `default_version`, for lists of ids. An id that is an integer becomes its digits. Numbers and `attributes` may be
    texts, as in CSV. Unknown columns are left out.

    Raises ValueError, with a text that fits after "line 7 …", if there is no version or a text cannot be converted.
    """
    version = fields.get(version_field)
    if version is None and default_version is None:
        raise ValueError(f"has no {version_field}: every change needs a version, --version-field names its column")
    op = "delete" if delete else fields.get("op") or "upsert"
    names = (ID_FIELDS[kind],) if op == "delete" else CHANGES[kind].field_names
    own = {name: _converted(name, fields[name], kind) for name in names if name in fields}
    return {
        "op": op,
        **own,
        "version": default_version if version is None else version_of(version),
        "occurred_at": fields.get("occurred_at") or now.isoformat(timespec="microseconds"),
    }


def version_of(value: object) -> int:
    """A version from an integer, its digits, a float that is exactly a whole number, or an ISO 8601 time.

    A time becomes microseconds since 1970 in UTC; a time without a time zone is read as UTC. Raises ValueError for
    anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_FLOATS:
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        return int(value)
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError("has a version that is neither a whole number nor a time")
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def _converted(name: str, value: Any, kind: Kind) -> Any:
    if name == ID_FIELDS[kind] and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if name in _NUMBERS and isinstance(value, str):
        return _number(name, value)
    if name == "attributes" and isinstance(value, str):
        return _attributes(value)
    return value


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"has a {name} that is not a number") from None


def _attributes(text: str) -> dict[str, Any]:
    try:
        attributes = json.loads(text)
    except (ValueError, RecursionError):
        attributes = None
    if not isinstance(attributes, dict):
        raise ValueError("has attributes that are not a JSON object")
    return attributes
