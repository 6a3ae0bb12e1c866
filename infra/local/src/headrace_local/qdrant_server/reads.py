"""Reads of the REST interface as requests to the engine, and the engine's answers as JSON values."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import qdrant_edge as engine
from qdrant_client import models

from headrace_local.qdrant_server.bodies import Nearest, Search
from headrace_local.qdrant_server.conditions import optional_filter, point_id
from headrace_local.qdrant_server.refusal import wrong_input
from headrace_local.qdrant_server.updates import DEFAULT_VECTOR, VectorSizes

DEFAULT_LIMIT = 10

Json = dict[str, Any]
WithPayload = bool | list[str] | models.PayloadSelectorInclude | models.PayloadSelectorExclude | None


def query(wanted: Search, sizes: VectorSizes) -> engine.QueryRequest:
    """Nearest points to a vector, or without a query all points in the order of their ids."""
    if wanted.prefetch or wanted.lookup_from:
        raise wrong_input("the development server supports neither prefetch nor lookup")
    return engine.QueryRequest(
        limit=DEFAULT_LIMIT if wanted.limit is None else wanted.limit,
        offset=wanted.offset or 0,
        query=_nearest(wanted, sizes),
        filter=optional_filter(wanted.filter),
        score_threshold=wanted.score_threshold,
        params=_params(wanted.params),
        with_payload=payload_selector(wanted.with_payload, default=False),
        with_vector=wanted.with_vector or False,
    )


def scroll(wanted: models.ScrollRequest) -> engine.ScrollRequest:
    return engine.ScrollRequest(
        offset=None if wanted.offset is None else point_id(wanted.offset),
        limit=DEFAULT_LIMIT if wanted.limit is None else wanted.limit,
        filter=optional_filter(wanted.filter),
        with_payload=payload_selector(wanted.with_payload, default=True),
        with_vector=wanted.with_vector or False,
        order_by=_order(wanted.order_by),
    )


def retrieve(wanted: models.PointRequest) -> Callable[[engine.EdgeShard], list[engine.Record]]:
    ids = [point_id(one) for one in wanted.ids]
    payload = payload_selector(wanted.with_payload, default=True)
    return lambda shard: shard.retrieve(ids, payload, wanted.with_vector or False)


def record(found: engine.Record) -> Json:
    return {"id": found.id, "payload": found.payload, "vector": found.vector, "order_value": found.order_value}


def scored(found: Sequence[engine.ScoredPoint]) -> Json:
    points = [
        {"id": one.id, "version": one.version, "score": one.score, "payload": one.payload, "vector": one.vector}
        for one in found
    ]
    return {"points": points}


def payload_selector(wanted: WithPayload, *, default: bool) -> bool | list[str] | engine.PayloadSelector:
    match wanted:
        case None:
            return default
        case models.PayloadSelectorInclude():
            return engine.PayloadSelector.Include(wanted.include)
        case models.PayloadSelectorExclude():
            return engine.PayloadSelector.Exclude(wanted.exclude)
        case _:
            return wanted


def _nearest(wanted: Search, sizes: VectorSizes) -> engine.Query | None:
    given = wanted.query.nearest if isinstance(wanted.query, Nearest) else wanted.query
    if given is None:
        return None
    if not isinstance(given, list):
        raise wrong_input(f"the development server does not support the query {type(given).__name__}")
    name = DEFAULT_VECTOR if wanted.using is None else wanted.using
    return engine.Query.Nearest(sizes.check(name, given), using=name)


def _params(wanted: models.SearchParams | None) -> engine.SearchParams | None:
    if wanted is None:
        return None
    return engine.SearchParams(hnsw_ef=wanted.hnsw_ef, exact=bool(wanted.exact), indexed_only=bool(wanted.indexed_only))


def _order(wanted: str | models.OrderBy | None) -> engine.OrderBy | None:
    if wanted is None:
        return None
    if isinstance(wanted, str):
        return engine.OrderBy(wanted)
    start: Any = wanted.start_from
    if start is not None and not isinstance(start, int | float | uuid.UUID):
        start = start.isoformat()
    descending = wanted.direction is models.Direction.DESC
    return engine.OrderBy(wanted.key, engine.Direction.Desc if descending else engine.Direction.Asc, start)
