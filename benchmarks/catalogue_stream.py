"""A catalogue whose texts are all in the cache of vectors, and an endless stream of its changes."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from benchmarks.topics import SEED
from headrace_cli.source_producer import SourceRecord
from headrace_demo.catalogue.keywords import keyword
from headrace_demo.catalogue.products import product
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import Kind

WORDINGS = 2
"""Each text of an entity. `warming` publishes all of them, so that none is new afterwards."""
KEYWORDS = 0.02
"""The share of the changes that are of keywords."""
REWORDED = 0.2
DELETED = 0.05
"""The shares of other texts and of deletes. The rest are new prices of products, and new popularities of keywords.
Keywords are not deleted. A change of a deleted product creates it again.
"""


class CatalogueStream:
    """The state of the catalogue, which decides the next change."""

    def __init__(self, products: int, keywords: int) -> None:
        self._random = random.Random(SEED)
        self._counts: dict[Kind, int] = {"product": products, "keyword": keywords}
        self._wordings: dict[tuple[Kind, int], int] = {}
        self._deleted: set[int] = set()
        self._version = 0

    def warming(self, wording: int) -> Iterator[SourceRecord]:
        """Every entity, with this wording of its text."""
        for kind, count in self._counts.items():
            for number in range(count):
                self._wordings[kind, number] = wording
                yield self._upsert(kind, number)

    def changes(self) -> Iterator[SourceRecord]:
        """One change after the other, each made when it is taken."""
        while True:
            kind: Kind = "keyword" if self._random.random() < KEYWORDS else "product"
            number, drawn = self._random.randrange(self._counts[kind]), self._random.random()
            if kind == "product" and number in self._deleted:
                self._deleted.remove(number)
            elif kind == "product" and drawn < DELETED:
                self._deleted.add(number)
                yield self._delete(number)
                continue
            elif drawn < DELETED + REWORDED:
                self._wordings[kind, number] = (self._wordings[kind, number] + 1) % WORDINGS
            yield self._upsert(kind, number)

    def _upsert(self, kind: Kind, number: int) -> SourceRecord:
        made, self._version = product if kind == "product" else keyword, self._version + 1
        row = made(SEED, number, version=self._version, wording=self._wordings[kind, number], pricing=self._version)
        return _record(kind, row | {"op": "upsert"})

    def _delete(self, number: int) -> SourceRecord:
        self._version += 1
        row = {"op": "delete", "product_id": product(SEED, number)["product_id"], "version": self._version}
        return _record("product", row)


def _record(kind: Kind, row: dict[str, Any]) -> SourceRecord:
    value = json.dumps(row | {"occurred_at": datetime.now(UTC).isoformat()}, ensure_ascii=False).encode()
    return SourceRecord(kind, str(row[ID_FIELDS[kind]]).encode(), value)
