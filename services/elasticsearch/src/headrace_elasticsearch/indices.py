"""The indices: one for each kind of record, physical and versioned, behind an alias that shows only what is live.

The alias is both what searches read and what writes go through: a write passes the filter, and `require_alias` refuses
one for which the alias is missing, so no writer ever creates a concrete index in its place. Reads that must see
tombstones go to the physical index.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import RecordKind

LIVE: dict[str, Any] = {"term": {"deleted": False}}
"""The aliases' filter."""
FENCE: dict[str, Any] = {
    "version": {"type": "long"},
    "deleted": {"type": "boolean"},
    "deleted_at": {"type": "date"},
}
"""What every document has besides its record's own fields."""

# In characters, of at most 4 bytes each: far below the 32,766 bytes at which Lucene refuses the whole document.
_KEYWORD: dict[str, Any] = {"type": "keyword", "ignore_above": 1024}


@dataclass(frozen=True, slots=True)
class Index:
    """One kind's index. `properties`: the record's own fields, as Elasticsearch maps them.

    `searched`: the fields a search by text looks at, with their weights.
    """

    alias: str
    id_field: str
    properties: Mapping[str, Any]
    searched: tuple[str, ...] = ()

    @property
    def physical(self) -> str:
        """The name `prepare` gives a new physical index."""
        return f"{self.alias}-v1"

    @property
    def mapping(self) -> dict[str, Any]:
        """Strict, because a field that the mapping lacks is a worker newer than its index: it is to be heard of."""
        return {"dynamic": "strict", "properties": {**self.properties, **FENCE}}

    @property
    def field_names(self) -> Iterator[str]:
        """Every field by the name that an error gives it: one of a nested object after a dot."""
        for name, field in self.mapping["properties"].items():
            yield name
            yield from (f"{name}.{inner}" for inner in field.get("properties", ()))

    @property
    def alias_settings(self) -> dict[str, Any]:
        return {"filter": LIVE, "is_write_index": True}


Indices = Mapping[RecordKind, Index]


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
    # Nested, so that a query for one keyword sees the rank and score of that keyword and of no other.
    link = {
        "keyword_id": {"type": "keyword"},
        "text": both,
        "score": {"type": "double"},
        "rank": {"type": "integer"},
    }
    product_links = {
        "product_id": {"type": "keyword"},
        "title": text,
        "keywords": {"type": "nested", "properties": link},
    }
    return {
        "product": Index(
            f"{prefix}products", ID_FIELDS["product"], product, ("title^3", "brand", "category", "description")
        ),
        "keyword": Index(f"{prefix}keywords", ID_FIELDS["keyword"], keyword, ("text",)),
        "product_links": Index(f"{prefix}product_keywords", ID_FIELDS["product"], product_links),
    }
