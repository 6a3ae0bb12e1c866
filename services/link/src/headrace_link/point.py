"""A product's point in `product_links`: closed with its floor as a probe, open without one, or a tombstone.

A closed point's vector is [p, -floor], d + 1 numbers: its dot product with [k, 1] is cos(p, k) - floor, which is not
negative exactly when keyword k belongs among the product's links.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from qdrant_client import models

from headrace_schemas.links import Link, ProductLinks
from headrace_shared.clients.qdrant import point_id

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


@dataclass(frozen=True, slots=True)
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
            Link.model_construct(keyword_id=n.keyword_id, text=n.text, score=round(n.score, SCORE_DIGITS), rank=rank)
            for rank, n in enumerate(self.neighbours, 1)
        )
        deleted = self.vector is None
        return ProductLinks.model_construct(
            product_id=self.product_id, version=version, deleted=deleted, title=self.title, links=links
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """A point as it was looked at. An unknown product has no payload, and the version of its first write is `version`
    + 1.
    """

    product_id: str
    version: int
    payload: dict[str, Any] = field(default_factory=dict)

    @property
    def token(self) -> str | None:
        """Names the write that left the point as it is."""
        return self.payload.get("token")

    def holds(self, links: ProductLinks) -> bool:
        """Whether it is closed with exactly this set, whatever the version."""
        payload = self.payload
        if not payload or payload["open"] or payload["deleted"] != links.deleted:
            return False
        return payload.get("title") == links.title and payload["links"] == _links(links)


@dataclass(frozen=True, slots=True)
class Opened:
    """A point that this writer has opened. `version`: of the opened point; the closed one has the next."""

    seen: Seen
    version: int
    token: str


def content_key(keyword_id: str, content_hash: str, text: str) -> str:
    """A keyword with its content, as a link set holds it. The text counts too: white space alone changes it and not the
    content hash.
    """
    return f"{keyword_id}@{hashlib.sha256(f'{content_hash} {text}'.encode()).hexdigest()[:HASH_DIGITS]}"


def open_point(seen: Seen) -> tuple[Opened, models.PointStruct]:
    """Open, with no probe; the old set stays for readers."""
    opened = Opened(seen, seen.version + 1, uuid4().hex)
    kept = seen.payload or {"product_id": seen.product_id, "deleted": False, "links": []}
    payload = kept | {"version": opened.version, "token": opened.token, "open": True}
    return opened, _point(seen.product_id, {}, payload)


def closed_point(opened: Opened, links: ProductLinks, found: LinkSet) -> models.PointStruct:
    """Closed: the set, and the probe that finds the product for every keyword that belongs into it."""
    payload: dict[str, Any] = {
        "product_id": found.product_id,
        "version": opened.version + 1,
        "token": uuid4().hex,
        "open": False,
        "deleted": links.deleted,
        "links": _links(links),
    }
    if found.vector is None:
        return _point(found.product_id, {}, payload)
    payload |= {
        "title": found.title,
        "content_hash": found.content_hash,
        "keyword_ids": [n.keyword_id for n in found.neighbours],
        "held": [content_key(n.keyword_id, n.content_hash, n.text) for n in found.neighbours],
    }
    return _point(found.product_id, {PROBE: [*found.vector, -found.floor]}, payload)


def probe(vector: Sequence[float]) -> list[float]:
    """(d + 1,) What finds the closed points that a keyword belongs into."""
    return [*vector, 1.0]


def read_links(payload: dict[str, Any]) -> ProductLinks | None:
    """The set that a point holds; None while its first one is not there yet."""
    if "title" not in payload and not payload["deleted"]:
        return None
    version = payload["version"] - payload["open"]
    kept = {name: payload.get(name) for name in ("product_id", "deleted", "title", "links")}
    return ProductLinks.model_validate(kept | {"version": version})


def _links(links: ProductLinks) -> list[dict[str, Any]]:
    return [link.model_dump() for link in links.links]


def _point(product_id: str, vector: Any, payload: dict[str, Any]) -> models.PointStruct:
    # The vector comes from Qdrant: checking hundreds of floats one by one would cost more than sending them.
    return models.PointStruct.model_construct(id=point_id(product_id), vector=vector, payload=payload)
