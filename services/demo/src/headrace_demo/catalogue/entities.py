"""The current state of each entity of the catalogue: its version, texts and price, and whether it is deleted."""

from array import array
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace_demo.catalogue.events import Cause, Change
from headrace_demo.catalogue.keywords import keyword
from headrace_demo.catalogue.products import product
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import Kind

Clock = Callable[[], datetime]
"""Returns the `occurred_at` of the next change."""


def ticking(start: datetime = datetime(2025, 1, 1, tzinfo=UTC)) -> Clock:
    """A clock that advances by a millisecond at each call, so that the times are the same in every run."""
    ticks = -1

    def read() -> datetime:
        nonlocal ticks
        ticks += 1
        return start + timedelta(milliseconds=ticks)

    return read


class Entities:
    """Products, then keywords, numbered from 0. It keeps 13 bytes for each entity."""

    def __init__(self, seed: int, products: int, keywords: int, clock: Clock) -> None:
        self._seed, self._products, self._clock = seed, products, clock
        self.count = products + keywords
        self._versions = array("I", [1]) * self.count
        self._wordings = array("I", [0]) * self.count
        self._pricings = array("I", [0]) * self.count
        self._live = bytearray(b"\x01") * self.count

    def is_live(self, number: int) -> bool:
        """Whether the entity is not deleted."""
        return self._live[number] == 1

    def create(self, number: int) -> Change:
        """The entity's first version."""
        return self._upsert(number, "create")

    def reword(self, number: int, cause: Cause = "reword") -> Change:
        """Its next version, with another text; re-creates a deleted entity."""
        self._wordings[number] += 1
        self._versions[number] += 1
        self._live[number] = 1
        return self._upsert(number, cause)

    def reprice(self, number: int) -> Change:
        """Its next version, with the same text and another price or popularity."""
        self._pricings[number] += 1
        self._versions[number] += 1
        return self._upsert(number, "reprice")

    def delete(self, number: int) -> Change:
        """Its next version, which deletes it."""
        self._versions[number] += 1
        self._live[number] = 0
        kind, record = self._now(number)
        kept = {name: record[name] for name in (ID_FIELDS[kind], "version")}
        return Change(kind, "delete", {"op": "delete", **kept, "occurred_at": self._occurred_at()})

    def next_upsert(self, number: int) -> tuple[Kind, dict[str, Any]]:
        """A possible next version, which does not change the state."""
        kind, record = self._now(number)
        return kind, self._stamped({**record, "version": self._versions[number] + 1})

    def _upsert(self, number: int, cause: Cause) -> Change:
        kind, record = self._now(number)
        return Change(kind, cause, self._stamped(record))

    def _now(self, number: int) -> tuple[Kind, dict[str, Any]]:
        kind: Kind = "product" if number < self._products else "keyword"
        make, own_number = (product, number) if kind == "product" else (keyword, number - self._products)
        return kind, make(
            self._seed,
            own_number,
            version=self._versions[number],
            wording=self._wordings[number],
            pricing=self._pricings[number],
        )

    def _stamped(self, record: dict[str, Any]) -> dict[str, Any]:
        return {"op": "upsert", **record, "occurred_at": self._occurred_at()}

    def _occurred_at(self) -> str:
        return self._clock().astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
