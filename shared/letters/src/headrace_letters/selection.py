"""Which dead letters are meant: a filter as a value, and as a condition in SQL."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, get_args

from headrace_letters.storable_text import storable

Status = Literal["waiting", "replaying", "parked", "discarded", "superseded", "resolved"]
"""What became of a letter, weakest first: of two that speak of one attempt the later in this list holds."""
STATUSES: tuple[Status, ...] = get_args(Status)
RANKS: dict[Status, int] = {status: rank for rank, status in enumerate(STATUSES)}
STATUS_TYPE = "headrace.dead_status"
LONGEST = 1024
"""Characters; no text of a letter that is selected by is longer."""

_COMPARED = {
    "worker": "worker =",
    "reason": "reason =",
    "fingerprint": "fingerprint =",
    "since": "failed_at >=",
    "until": "failed_at <",
    "key": "key =",
}


@dataclass(frozen=True, slots=True)
class Selection:
    """The letters for which everything given holds; without anything, all of them.

    `since` (included) and `until` (excluded) are about the newest failure. `key`: the record's key, whole.
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
        """Whether it names letters one by one, so that there is little to look through."""
        return self.key is not None or self.ids is not None

    def as_json(self) -> dict[str, Any]:
        """What is given, for the audit: times in ISO 8601, a key as text where it is text and in hexadecimal else."""
        return {name: _plain(value) for name, value in self._given()}

    def where(self, parameters: list[Any]) -> str:
        """The condition over rows of letters that have a `status_now`. What it compares with joins `parameters`."""
        return " AND ".join(["TRUE", *(_condition(name, value, parameters) for name, value in self._given())])

    def _given(self) -> Iterator[tuple[str, Any]]:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                yield field.name, storable(value, LONGEST)
            elif isinstance(value, tuple):
                yield field.name, [storable(item, LONGEST) for item in value]
            elif value is not None:
                yield field.name, value


EVERYTHING = Selection()


def stored_statuses(wanted: Iterable[Status]) -> list[Status]:
    """What is stored of letters that count as one of these: a replay without an answer counts as waiting in the end."""
    chosen = set(wanted)
    return [status for status in STATUSES if status in chosen or (status == "replaying" and "waiting" in chosen)]


def _condition(name: str, value: Any, parameters: list[Any]) -> str:
    def parameter(value: Any) -> str:
        parameters.append(value)
        return f"${len(parameters)}"

    if name == "ids":
        return f"dead_id = ANY({parameter(value)})"
    if name == "status":
        # What is stored narrows down by an index what it counts as by now.
        in_store, now = (f"{parameter(some)}::text[]::{STATUS_TYPE}[]" for some in (stored_statuses(value), value))
        return f"status = ANY({in_store}) AND status_now = ANY({now})"
    return f"{_COMPARED[name]} {parameter(value)}"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
        return text if text.encode() == value and "\x00" not in text else f"0x{value.hex()}"
    return value
