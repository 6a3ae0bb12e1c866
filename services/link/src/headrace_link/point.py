"""The format of a product's point in `product_links`, which is closed, open or a tombstone.

The vector of a closed point is its probe, [p, -floor], d + 1 numbers: the dot product with [k, 1] is cos(p, k) - floor,
which is not negative exactly when keyword k belongs to the product's links.

The set is stored in columns, best link first: Qdrant reads and writes a list of small objects several times slower.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qdrant_client import models

from headrace_clients.qdrant import point_id
from headrace_link.link_set import LinkSet, content_key
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.links import Link, ProductLinks

PROBE = "probe"
TOLERANCE = 1e-5
"""Two keywords whose scores differ by less may be in either order: rounding differs between searches."""
CONTENT_KEYS = "held"
"""The payload field with the `content_key` of each linked keyword."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A point as `look` found it. `token` names the last write of the point; None: there is no point yet.

    `digest`: of the set with which the point was closed; None while it is open, and if the set was not published.
    """

    product_id: str
    version: int = 0
    token: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A point that this writer has opened. `version` and `token`: of that write; the closed point has the next version.

    All points of one opening have the same version and token. The version is above the last version of each point.
    """

    seen: Seen
    version: int
    token: str


def open_fields(version: int, token: str) -> dict[str, Any]:
    """The fields that opening writes. The old set stays for readers. The old probe stays too: a query for open points
    does not look at the probe.
    """
    return {"version": version, "token": token, "open": True}


def new_point(product_id: str, version: int, token: str) -> models.PointStruct:
    """The first point of a product: open, without a set."""
    hidden = product_id == CANARY_ID
    return _point(product_id, {}, {"product_id": product_id, "deleted": hidden, **open_fields(version, token)})


def closed_point(opened: Opened, found: LinkSet, token: str, *, published: bool) -> models.PointStruct:
    """A closed point with the set and its probe; for a deleted product, a tombstone without a probe.

    The point of the canary has its set, is marked as deleted, and has no probe, so that no keyword of users finds it.
    """
    hidden = found.product_id == CANARY_ID
    payload: dict[str, Any] = {
        "product_id": found.product_id,
        "version": opened.version + 1,
        "token": token,
        "open": False,
        "deleted": found.deleted or hidden,
        "digest": found.digest if published else None,
    }
    if found.vector is None:
        return _point(found.product_id, {}, payload)
    payload |= {
        "title": found.title,
        "content_hash": found.content_hash,
        **found.columns,
        CONTENT_KEYS: [content_key(n.keyword_id, n.content_hash, n.text) for n in found.neighbours],
    }
    return _point(found.product_id, {} if hidden else {PROBE: [*found.vector, -found.floor]}, payload)


def probe_query(vector: Sequence[float]) -> list[float]:
    """(d + 1,) Finds the closed points to which a keyword belongs. `vector`: (d,) the keyword's."""
    return [*vector, 1.0]


def read_links(payload: dict[str, Any]) -> ProductLinks | None:
    """The set that a point stores; None if no set was written yet.

    The version of an open point is that of its opening less one, which is not below the version of the set.
    """
    if "title" not in payload and not payload["deleted"]:
        return None
    version = payload["version"] - payload["open"]
    if payload["deleted"]:
        return ProductLinks(product_id=payload["product_id"], version=version, deleted=True)
    columns = (payload.get(name, []) for name in ("keyword_ids", "texts", "scores"))
    links = [
        Link(keyword_id=keyword_id, text=text, score=score, rank=rank)
        for rank, (keyword_id, text, score) in enumerate(zip(*columns, strict=True), 1)
    ]
    fields = {name: payload.get(name) for name in ("product_id", "title")}
    return ProductLinks.model_validate(fields | {"version": version, "links": links})


def _point(product_id: str, vector: Any, payload: dict[str, Any]) -> models.PointStruct:
    # The vector comes from Qdrant. To validate hundreds of floats one by one costs more than to send them.
    return models.PointStruct.model_construct(id=point_id(product_id), vector=vector, payload=payload)
