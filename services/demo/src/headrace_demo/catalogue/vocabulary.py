"""The words of the catalogue, read from the TOML files in `words/`."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import product
from typing import Any

LOCALES = ("en-US", "ko-KR", "ja-JP")
"""A language is an index into this tuple and into every `Triple`."""
DEPARTMENTS = (
    "furniture", "kitchen", "clothing", "electronics", "outdoor", "beauty", "food", "toys", "pets", "stationery",
)  # fmt: skip

Triple = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Facet:
    """A property of the products of a type. `title` and `search` contain {what} and {value}, `sentence` {value}."""

    attribute: str
    title: Triple
    search: Triple
    sentence: Triple | None
    values: tuple[Triple, ...]


@dataclass(frozen=True, slots=True)
class ProductType:
    """`terms`: its names, the usual name first. `price`: lowest and highest, in US dollars.

    `facets`: those of the type, the word next to the name first, the brand last.
    """

    department: Triple
    terms: tuple[Triple, Triple]
    price: tuple[float, float]
    facets: tuple[Facet, ...]
    notes: tuple[Triple, ...]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All product types, and the texts that all of them use."""

    types: tuple[ProductType, ...]
    series: tuple[Triple, ...]
    openings: tuple[Triple, ...]
    rewordings: tuple[Triple, ...]


@cache
def vocabulary() -> Vocabulary:
    """The whole vocabulary. The files are read once."""
    copy = _read("copy")
    facets = {name: _facet(entry) for name, entry in _read("facets").items()}
    stems = _triples(copy["brand_stems"])
    return Vocabulary(
        types=tuple(found for name in DEPARTMENTS for found in _types(_read(name), facets, stems)),
        series=_triples(copy["series"]),
        openings=_triples(copy["openings"]),
        rewordings=_triples(copy["rewordings"]),
    )


def _types(department: dict[str, Any], facets: dict[str, Facet], stems: tuple[Triple, ...]) -> list[ProductType]:
    brand = _brand(stems, _triples(department["brand_endings"]))
    return [
        ProductType(
            department=_triple(department["name"]),
            terms=(_triple(entry["name"]), _triple(entry["also"])),
            price=(entry["price"][0], entry["price"][1]),
            facets=(*(facets[name] for name in entry["facets"]), brand),
            notes=_triples(department["notes"]),
        )
        for entry in department["types"]
    ]


def _brand(stems: tuple[Triple, ...], endings: tuple[Triple, ...]) -> Facet:
    around = "{value} {what}"
    names = [
        (f"{stem[0]} {ending[0]}", f"{stem[1]} {ending[1]}", f"{stem[2]}{ending[2]}")
        for stem, ending in product(stems, endings)
    ]
    return Facet("brand", (around,) * 3, (around,) * 3, None, tuple(names))


def _facet(entry: dict[str, Any]) -> Facet:
    return Facet(
        attribute=entry["attribute"],
        title=_triple(entry["title"]),
        search=_triple(entry["search"]),
        sentence=_triple(entry["sentence"]),
        values=_triples(entry["values"]),
    )


def _triples(entries: list[list[str]]) -> tuple[Triple, ...]:
    return tuple(map(_triple, entries))


def _triple(texts: list[str]) -> Triple:
    english, korean, japanese = texts
    return english, korean, japanese


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("words", f"{name}.toml").read_text("utf-8"))
