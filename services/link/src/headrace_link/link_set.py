"""The link set of one product: its nearest keywords as they were read from the catalogue."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from pydantic_core import to_json

from headrace_schemas.links import Link, ProductLinks

HASH_DIGITS = 16
"""Length of the hash in a `content_key`: enough to tell two contents of one keyword apart."""
SCORE_DIGITS = 6


class Shown(NamedTuple):
    """The most characters of a copied title and of a copied keyword text. Sets contain them for display only."""

    title: int
    text: int


SHOWN = Shown(10_000, 1000)
"""The limits of the schemas. Products and keywords that were stored before these limits may be longer."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A keyword near a product. `score`: cosine."""

    keyword_id: str
    text: str
    content_hash: str
    score: float


@dataclass(frozen=True)
class LinkSet:
    """What was read for one product. `vector`, `title`, `content_hash`: the product's, with the title as sets show it;
    None if it is deleted.

    `neighbours`: best first. `floor`: the score that another keyword needs to enter the set.
    """

    product_id: str
    vector: Sequence[float] | None = None
    title: str | None = None
    content_hash: str | None = None
    neighbours: Sequence[Neighbour] = ()
    floor: float = -1.0

    def published(self, version: int, shown: Shown = SHOWN) -> ProductLinks:
        """The record of this set with the given link version."""
        links = tuple(
            Link.model_construct(keyword_id=keyword_id, text=text[: shown.text], score=score, rank=rank)
            for rank, (keyword_id, text, score) in enumerate(zip(*self.columns.values(), strict=True), 1)
        )
        title = self.title and self.title[: shown.title]
        return ProductLinks.model_construct(
            product_id=self.product_id, version=version, deleted=self.deleted, title=title, links=links
        )

    @property
    def deleted(self) -> bool:
        """Whether the product does not exist any more."""
        return self.vector is None

    @cached_property
    def columns(self) -> dict[str, list[Any]]:
        """The links as the point in Qdrant stores them."""
        return {
            "keyword_ids": [n.keyword_id for n in self.neighbours],
            "texts": [n.text[: SHOWN.text] for n in self.neighbours],
            "scores": [round(n.score, SCORE_DIGITS) for n in self.neighbours],
        }

    @cached_property
    def digest(self) -> str:
        """Two sets have the same digest if their records differ in nothing but the version."""
        return hashlib.sha256(to_json([self.deleted, self.title, self.columns])).hexdigest()


@lru_cache(maxsize=65_536)
def content_key(keyword_id: str, content_hash: str, text: str) -> str:
    """Names a keyword with its content. The text counts too: a change of white space changes it and not the content
    hash.
    """
    return f"{keyword_id}@{hashlib.sha256(f'{content_hash} {text}'.encode()).hexdigest()[:HASH_DIGITS]}"
