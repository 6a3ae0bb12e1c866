"""Which dead letters are meant: a filter as a value, and as a condition in SQL."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, get_args

Status = Literal["waiting", "replaying", "parked", "discarded", "superseded", "resolved"]
"""What became of a letter, weakest first: of two that speak of one attempt the later in this list holds."""
STATUSES: tuple[Status, ...] = get_args(Status)
RANKS: dict[Status, int] = {status: rank for rank, status in enumerate(STATUSES)}

STATUS_NOW = "CASE WHEN status = 'replaying' AND replayed_at < now() - $1::interval THEN 'waiting' ELSE status END"
"""A replay that nobody has answered for too long counts as waiting. $1: how long that is."""


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

    def as_json(self) -> dict[str, Any]:
        """What is given, for the audit: times in ISO 8601, a key as text where it is text and in hexadecimal else."""
        return {name: _plain(value) for name, value in self._given()}

    def where(self, first: int) -> tuple[str, list[Any]]:
        """The condition, and what its parameters from `first` on stand for. It reads `status_now` of the row."""
        conditions = ["TRUE"]
        parameters: list[Any] = []
        for name, value in self._given():
            conditions.append(_CONDITIONS[name].format(first + len(parameters)))
            parameters.append(list(value) if isinstance(value, tuple) else value)
        return " AND ".join(conditions), parameters

    def _given(self) -> Iterator[tuple[str, Any]]:
        for field in fields(self):
            if (value := getattr(self, field.name)) is not None:
                yield field.name, value


_CONDITIONS = {
    "worker": "worker = ${}",
    "reason": "reason = ${}",
    "fingerprint": "fingerprint = ${}",
    "since": "failed_at >= ${}",
    "until": "failed_at < ${}",
    "key": "key = ${}",
    "status": "status_now = ANY(${})",
    "ids": "dead_id = ANY(${})",
}


EVERYTHING = Selection()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return f"0x{value.hex()}"
    return list(value) if isinstance(value, tuple) else value
