"""The change that a row asks for."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace_schemas.changes import CHANGES, ID_FIELDS
from headrace_schemas.fields import DECIMAL, Kind

_NUMBERS = ("price", "popularity")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT_FLOATS = 2.0**53
_LONGEST_NUMBER = 100
"""Characters. Python raises an error for an integer of more than 4300 digits."""
_SHOWN = 60


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
    `default_version`, for lists of ids. An id that is an integer, also as a float, becomes its digits. Numbers and
    `attributes` may be texts, as in CSV. Unknown columns are left out.

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
    """A version from a whole number or from an ISO 8601 time; both may be text, as in CSV.

    A float is exact below 2^53, so a larger one is refused: its last digits may be lost. A time becomes microseconds
    since 1970 in UTC; a time without a time zone is read as UTC. Raises ValueError for anything else.
    """
    number = _number_in(value) if isinstance(value, str) else value
    if isinstance(value, str) and number is None:
        return _microseconds(value)
    if isinstance(number, int) and not isinstance(number, bool):
        return number
    if isinstance(number, float) and number.is_integer():
        if abs(number) < _EXACT_FLOATS:
            return int(number)
        raise ValueError(f"has a version that may be rounded, {_shown(value)}: write it as an integer, without a point")
    raise ValueError(f"has a version that is neither a whole number nor a time: {_shown(value)}")


def _microseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"has a version that is neither a whole number nor a time: {_shown(text)}") from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def _converted(name: str, value: Any, kind: Kind) -> Any:
    if name == ID_FIELDS[kind] and isinstance(value, int | float) and not isinstance(value, bool):
        return _id_of(value)
    if name in _NUMBERS and value is not None:
        return _number(name, value)
    if name == "attributes" and isinstance(value, str):
        return _attributes(value)
    return value


def _id_of(number: float) -> str:
    """The digits of an id. pandas makes floats of a column of integers in which some are missing."""
    if isinstance(number, float) and not (number.is_integer() and abs(number) < _EXACT_FLOATS):
        raise ValueError(f"has an id that is neither text nor a whole number: {number!r}")
    return str(int(number))


def _number(name: str, value: object) -> float:
    number = _number_in(value) if isinstance(value, str) else value
    if isinstance(number, int | float) and not isinstance(number, bool) and abs(number) < math.inf:
        return number
    raise ValueError(f"has a {name} that is not a number: {_shown(value)} (write 1234.5, without a unit or separators)")


def _number_in(text: str) -> int | float | None:
    """The number in a text: an integer if it has neither a point nor an exponent. None if the text is not a number."""
    if len(text) > _LONGEST_NUMBER or not DECIMAL.fullmatch(text):
        return None
    return int(text) if text.lstrip("+-").isdigit() else float(text)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _attributes(text: str) -> dict[str, Any]:
    try:
        attributes = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        attributes = None
    if not isinstance(attributes, dict):
        raise ValueError("has attributes that are not a JSON object")
    return attributes


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
