"""The indices: one for each kind of entity, physical and versioned, behind an alias that shows only what is live.

The alias is both what searches read and what writes go through: a write passes the filter, and `require_alias` refuses
one for which the alias is missing, so no writer ever creates a concrete index in its place. Reads that must see
tombstones go to the physical index.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import Kind

LIVE: dict[str, Any] = {"term": {"deleted": False}}
"""The aliases' filter."""
FENCE: dict[str, Any] = {
    "version": {"type": "long"},
    "deleted": {"type": "boolean"},
    "deleted_at": {"type": "date"},
}
"""What every document has besides its entity's fields."""

# In characters, of at most 4 bytes each: far below the 32,766 bytes at which Lucene refuses the whole document.
_KEYWORD: dict[str, Any] = {"type": "keyword", "ignore_above": 1024}


@dataclass(frozen=True, slots=True)
class Index:
    """One kind's index. `properties`: the entity's own fields, as Elasticsearch maps them.

    `searched`: the fields a search looks at, with their weights.
    """

    kind: Kind
    alias: str
    properties: Mapping[str, Any]
    searched: tuple[str, ...]

    @property
    def physical(self) -> str:
        """The name `prepare` gives a new physical index."""
        return f"{self.alias}-v1"

    @property
    def id_field(self) -> str:
        return ID_FIELDS[self.kind]

    @property
    def mapping(self) -> dict[str, Any]:
        """Strict, because a field that the mapping lacks is a worker newer than its index: it is to be heard of."""
        return {"dynamic": "strict", "properties": {**self.properties, **FENCE}}

    @property
    def alias_settings(self) -> dict[str, Any]:
        return {"filter": LIVE, "is_write_index": True}


Indices = Mapping[Kind, Index]


def indices(analyzer: str = "standard", prefix: str = "") -> Indices:
    """The indices by kind, their text fields analyzed with `analyzer`, every name beginning with `prefix`."""
    text: dict[str, Any] = {"type": "text", "analyzer": analyzer}
    both: dict[str, Any] = text | {"fields": {"keyword": _KEYWORD}}
    product = {
        "product_id": {"type": "keyword"},
        "title": text,
        "description": text,
        "brand": both,
        "category": both,
        "price": {"type": "double"},
        "currency": _KEYWORD,
        "attributes": {"type": "flattened", "ignore_above": 1024},
        "locale": _KEYWORD,
    }
    keyword = {
        "keyword_id": {"type": "keyword"},
        "text": both,
        "locale": _KEYWORD,
        "popularity": {"type": "double"},
    }
    return {
        "product": Index("product", f"{prefix}products", product, ("title^3", "brand", "category", "description")),
        "keyword": Index("keyword", f"{prefix}keywords", keyword, ("text",)),
    }
