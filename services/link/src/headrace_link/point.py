"""A product's point in `product_links`: closed with its floor as a probe, open, or a tombstone.

A closed point's vector is [p, -floor], d + 1 numbers: its dot product with [k, 1] is cos(p, k) - floor, which is not
negative exactly when keyword k belongs among the product's links.

The set is kept in columns, best link first: a list of small objects takes a server several times as long to read and
to write.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from pydantic_core import to_json
from qdrant_client import models

from headrace_clients.qdrant import point_id
from headrace_schemas.links import Link, ProductLinks

PROBE = "probe"
TOLERANCE = 1e-5
"""Ties and rounding come along: scores closer than this may fall either way."""
HASH_DIGITS = 16
"""Of a digest of a keyword's content, kept beside its id: enough to tell two contents of one keyword apart."""
SCORE_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A keyword near a product. `score`: cosine."""

    keyword_id: str
    text: str
    content_hash: str
    score: float


@dataclass(frozen=True)
class LinkSet:
    """What was read for one product. `vector`, `title`, `content_hash`: the product's; None if it is deleted."""

    product_id: str
    vector: Sequence[float] | None = None
    title: str | None = None
    content_hash: str | None = None
    neighbours: Sequence[Neighbour] = ()
    floor: float = -1.0

    def published(self, version: int) -> ProductLinks:
        """The record of it."""
        links = tuple(
            Link.model_construct(keyword_id=keyword_id, text=text, score=score, rank=rank)
            for rank, (keyword_id, text, score) in enumerate(zip(*self.columns.values(), strict=True), 1)
        )
        return ProductLinks.model_construct(
            product_id=self.product_id, version=version, deleted=self.deleted, title=self.title, links=links
        )

    @property
    def deleted(self) -> bool:
        """Whether there is no such product any more."""
        return self.vector is None

    @cached_property
    def columns(self) -> dict[str, list[Any]]:
        """The set as its point keeps it."""
        return {
            "keyword_ids": [n.keyword_id for n in self.neighbours],
            "texts": [n.text for n in self.neighbours],
            "scores": [round(n.score, SCORE_DIGITS) for n in self.neighbours],
        }

    @cached_property
    def digest(self) -> str:
        """The same for two sets that are published as the same, but for their versions."""
        return hashlib.sha256(to_json([self.deleted, self.title, self.columns])).hexdigest()


@dataclass(frozen=True, slots=True)
class Seen:
    """A point as it was looked at. `token` names the write that left it so; None: the product is unknown.

    `digest`: of the set that it is closed with; None while it is open.
    """

    product_id: str
    version: int = 0
    token: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A point that this writer has opened. `version` and `token`: of that write; the closed point has the next version.

    Of one turn's points they are the same: any version above the last one will do.
    """

    seen: Seen
    version: int
    token: str


@lru_cache(maxsize=65_536)
def content_key(keyword_id: str, content_hash: str, text: str) -> str:
    """A keyword with its content, as a link set holds it. The text counts too: white space alone changes it and not the
    content hash.
    """
    return f"{keyword_id}@{hashlib.sha256(f'{content_hash} {text}'.encode()).hexdigest()[:HASH_DIGITS]}"


def open_fields(version: int, token: str) -> dict[str, Any]:
    """What opening writes. The old set stays for readers, and the old probe: whoever finds open points takes them all,
    whatever their probe says.
    """
    return {"version": version, "token": token, "open": True}


def new_point(product_id: str, version: int, token: str) -> models.PointStruct:
    """The first write of a product: open, and with no set yet."""
    return _point(product_id, {}, {"product_id": product_id, "deleted": False, **open_fields(version, token)})


def closed_point(opened: Opened, found: LinkSet, token: str) -> models.PointStruct:
    """Closed: the set, and the probe that finds the product for every keyword that belongs into it."""
    payload: dict[str, Any] = {
        "product_id": found.product_id,
        "version": opened.version + 1,
        "token": token,
        "open": False,
        "deleted": found.deleted,
        "digest": found.digest,
    }
    if found.vector is None:
        return _point(found.product_id, {}, payload)
    payload |= {
        "title": found.title,
        "content_hash": found.content_hash,
        **found.columns,
        "held": [content_key(n.keyword_id, n.content_hash, n.text) for n in found.neighbours],
    }
    return _point(found.product_id, {PROBE: [*found.vector, -found.floor]}, payload)


def probe(vector: Sequence[float]) -> list[float]:
    """(d + 1,) What finds the closed points that a keyword belongs into."""
    return [*vector, 1.0]


def read_links(payload: dict[str, Any]) -> ProductLinks | None:
    """The set that a point holds; None while its first one is not there yet. Of an open one the version is that of the
    opening less one, which is no lower than the set's.
    """
    if "title" not in payload and not payload["deleted"]:
        return None
    version = payload["version"] - payload["open"]
    columns = (payload.get(name, []) for name in ("keyword_ids", "texts", "scores"))
    links = [
        Link(keyword_id=keyword_id, text=text, score=score, rank=rank)
        for rank, (keyword_id, text, score) in enumerate(zip(*columns, strict=True), 1)
    ]
    kept = {name: payload.get(name) for name in ("product_id", "deleted", "title")}
    return ProductLinks.model_validate(kept | {"version": version, "links": links})


def _point(product_id: str, vector: Any, payload: dict[str, Any]) -> models.PointStruct:
    # The vector comes from Qdrant: checking hundreds of floats one by one would cost more than sending them.
    return models.PointStruct.model_construct(id=point_id(product_id), vector=vector, payload=payload)
