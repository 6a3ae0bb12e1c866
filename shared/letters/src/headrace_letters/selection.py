"""Which letters are chosen: a filter as a value, as a condition in SQL, and as a test of one letter."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args

from headrace_letters.letter import Letter
from headrace_letters.storable_text import storable

Status = Literal["waiting", "replaying", "parked", "discarded", "superseded", "resolved"]
"""The state of a letter, weakest first: of two statuses for one attempt, the later in this list wins."""
STATUSES: tuple[Status, ...] = get_args(Status)
RANKS: dict[Status, int] = {status: rank for rank, status in enumerate(STATUSES)}
STATUS_TYPE = "dead_status"
MAX_TEXT = 1024
"""Characters. The letters' own texts that a selection compares are shorter."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The letters that meet every given condition; all letters if none is given.

    `since` (inclusive) and `until` (exclusive) compare the time of the newest failure. `key`: the record's whole key.
    """

    worker: str | None = None
    reason: str | None = None
    fingerprint: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    key: bytes | None = None
    status: tuple[Status, ...] | None = None
    ids: tuple[str, ...] | None = None

    @property
    def few(self) -> bool:
        """Whether it names single letters, so that an index of PostgreSQL finds them at once."""
        return self.key is not None or self.ids is not None

    def matches(self, letter: Letter, status: Status | None = None) -> bool:
        """Whether a letter is chosen. `status`: its status now; by default the letter's own.

        The answer is that of `where`.
        """
        return all(_COMPARISONS[name].holds(letter, status, value) for name, value in self._given())

    def where(self, parameters: list[Any]) -> str:
        """The condition in SQL over rows of letters that have a `status_now`. Appends its values to `parameters`."""
        return " AND ".join(["TRUE", *(_condition(name, value, parameters) for name, value in self._given())])

    def as_json(self) -> dict[str, Any]:
        """The given conditions, for the audit: times in ISO 8601, a key as text or, if it is none, in hexadecimal."""
        return {name: _plain(value) for name, value in self._given()}

    def _given(self) -> Iterator[tuple[str, Any]]:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                yield field.name, storable(value, MAX_TEXT)
            elif isinstance(value, tuple):
                yield field.name, [storable(item, MAX_TEXT) for item in value]
            elif value is not None:
                yield field.name, value


EVERYTHING = Selection()


def stored_statuses(wanted: Iterable[Status]) -> list[Status]:
    """The stored statuses of letters that may count as one of these: an old `replaying` counts as waiting."""
    chosen = set(wanted)
    return [status for status in STATUSES if status in chosen or (status == "replaying" and "waiting" in chosen)]


class _Comparison(NamedTuple):
    """One condition twice: in SQL, with {} for the parameter, and in Python."""

    sql: str
    holds: Callable[[Letter, Status | None, Any], bool]


_COMPARISONS: Mapping[str, _Comparison] = {
    "worker": _Comparison("worker = {}", lambda letter, status, value: letter.worker == value),
    "reason": _Comparison("reason = {}", lambda letter, status, value: letter.reason == value),
    "fingerprint": _Comparison("fingerprint = {}", lambda letter, status, value: letter.fingerprint == value),
    "since": _Comparison("failed_at >= {}", lambda letter, status, value: letter.failed_at >= value),
    "until": _Comparison("failed_at < {}", lambda letter, status, value: letter.failed_at < value),
    "key": _Comparison("key = {}", lambda letter, status, value: letter.key == value),
    "status": _Comparison(
        f"status_now = ANY({{}}::text[]::{STATUS_TYPE}[])",
        lambda letter, status, value: (status or letter.status) in value,
    ),
    "ids": _Comparison("dead_id = ANY({})", lambda letter, status, value: letter.id in value),
}


def _condition(name: str, value: Any, parameters: list[Any]) -> str:
    parameters.append(value)
    condition = _COMPARISONS[name].sql.format(f"${len(parameters)}")
    if name != "status":
        return condition
    # Only the stored status has an index.
    parameters.append(stored_statuses(value))
    return f"status = ANY(${len(parameters)}::text[]::{STATUS_TYPE}[]) AND {condition}"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
        return text if text.encode() == value and "\x00" not in text else f"0x{value.hex()}"
    return value
