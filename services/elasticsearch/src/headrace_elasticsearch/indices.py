"""The indices: one for each kind of record, physical and versioned, behind an alias whose filter hides tombstones.

Searches and writes use the alias. The filter does not apply to writes, and `require_alias` refuses a write if the alias
is missing, so that no writer creates a concrete index of that name. Reads that must see tombstones use the physical
index.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace_elasticsearch.languages import ANALYZERS, properties_of_languages
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import RecordKind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.store_names import StoreNames

LIVE: dict[str, Any] = {"term": {"deleted": False}}
"""The aliases' filter."""
PRODUCT_KEYWORDS = "product_keywords"
FENCE: dict[str, Any] = {
    "version": {"type": "long"},
    "deleted": {"type": "boolean"},
    "deleted_at": {"type": "date"},
}
"""The fields that every document has in addition to those of its record."""
DIGEST: dict[str, Any] = {"digest": {"type": "keyword", "index": False, "doc_values": False}}
"""What a document of an entity has as well; nothing searches it."""

# In characters of at most 4 bytes each. Lucene refuses a whole document for a term of more than 32,766 bytes.
_KEYWORD: dict[str, Any] = {"type": "keyword", "ignore_above": 1024}


@dataclass(frozen=True, slots=True)
class Index:
    """The index of one kind. `properties`: the mapping of the record's own fields.

    `searched`: the fields of a search by text, with their weights. `public`: for an index of one model, the alias of
    readers, which leads to the index of one model at a time; workers use `alias`.
    """

    alias: str
    id_field: str
    properties: Mapping[str, Any]
    searched: tuple[str, ...] = ()
    public: str | None = None

    @property
    def physical(self) -> str:
        """The name of a new physical index."""
        return f"{self.alias}-v1"

    @property
    def mapping(self) -> dict[str, Any]:
        """Strict: a field that the mapping lacks must be reported, because the worker is newer than its index.

        The texts of a language are indexed, and not stored a second time.
        """
        properties = {**self.properties, **FENCE}
        return {"dynamic": "strict", "_source": {"excludes": self.languages}, "properties": properties}

    @property
    def languages(self) -> list[str]:
        """The languages whose texts have fields of their own."""
        return [language for language in ANALYZERS if language in self.properties]

    @property
    def field_names(self) -> Iterator[str]:
        """Each field by the name that it has in an error: the field of a nested object follows a dot."""
        for name, field in self.mapping["properties"].items():
            yield name
            yield from (f"{name}.{inner}" for inner in field.get("properties", ()))

    @property
    def alias_settings(self) -> dict[str, Any]:
        return {"filter": LIVE, "is_write_index": True}


Indices = Mapping[RecordKind, Index]


def indices(names: StoreNames, analyzer: str = "standard") -> Indices:
    """The indices by kind. `analyzer`: of the text fields."""
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
        **DIGEST,
        **properties_of_languages("product"),
    }
    keyword = {
        "keyword_id": {"type": "keyword"},
        "text": both,
        "locale": _KEYWORD,
        "popularity": {"type": "double"},
        **DIGEST,
        **properties_of_languages("keyword"),
    }
    # Nested, so that a query for one keyword sees only the rank and score of that keyword.
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
    searched = ("title^3", "brand", "category", "description")
    links, public = names.of_model(PRODUCT_KEYWORDS), names.public(PRODUCT_KEYWORDS)
    return {
        "product": Index(names.public(SOURCE_NAMES["product"]), ID_FIELDS["product"], product, searched),
        "keyword": Index(names.public(SOURCE_NAMES["keyword"]), ID_FIELDS["keyword"], keyword, ("text",)),
        "product_links": Index(links, ID_FIELDS["product"], product_links, public=public),
    }
