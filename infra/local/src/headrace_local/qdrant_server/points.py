"""The requests to one collection: the path below it, and the function from a body to a result."""

from collections.abc import Callable
from typing import Annotated, Any

import qdrant_edge as engine
from pydantic import Field, TypeAdapter
from qdrant_client import models

from headrace_local.qdrant_server import reads, updates
from headrace_local.qdrant_server.bodies import Points, Search, Searches
from headrace_local.qdrant_server.collection import Collection
from headrace_local.qdrant_server.conditions import optional_filter

# The models are written for a client that builds them; here their JSON comes in.
UPSERT: TypeAdapter[Points | models.PointsBatch] = TypeAdapter(
    Annotated[Points | models.PointsBatch, Field(union_mode="left_to_right")]
)
SELECTOR: TypeAdapter[models.PointIdsList | models.FilterSelector] = TypeAdapter(
    models.PointIdsList | models.FilterSelector
)


def upsert(collection: Collection, body: bytes) -> Any:
    return collection.apply(updates.upsert(UPSERT.validate_json(body), collection.sizes))


def delete(collection: Collection, body: bytes) -> Any:
    return collection.apply(updates.delete(SELECTOR.validate_json(body)))


def set_payload(collection: Collection, body: bytes) -> Any:
    return collection.apply(updates.set_payload(models.SetPayload.model_validate_json(body)))


def overwrite_payload(collection: Collection, body: bytes) -> Any:
    return collection.apply(updates.overwrite_payload(models.SetPayload.model_validate_json(body)))


def delete_payload(collection: Collection, body: bytes) -> Any:
    return collection.apply(updates.delete_payload(models.DeletePayload.model_validate_json(body)))


def clear_payload(collection: Collection, body: bytes) -> Any:
    return collection.apply(updates.clear_payload(SELECTOR.validate_json(body)))


def update_vectors(collection: Collection, body: bytes) -> Any:
    return collection.apply(updates.update_vectors(models.UpdateVectors.model_validate_json(body), collection.sizes))


def delete_vectors(collection: Collection, body: bytes) -> Any:
    return collection.apply(updates.delete_vectors(models.DeleteVectors.model_validate_json(body), collection.sizes))


def batch(collection: Collection, body: bytes) -> Any:
    """One result for each operation, as the real server answers."""
    wanted = models.UpdateOperations.model_validate_json(body).operations
    prepared = [updates.one_of_batch(operation, collection.sizes) for operation in wanted]
    return [collection.apply(operations) for operations in prepared]


def create_index(collection: Collection, body: bytes) -> Any:
    return collection.apply([updates.field_index(models.CreateFieldIndex.model_validate_json(body))])


def retrieve(collection: Collection, body: bytes) -> Any:
    found = collection.read(reads.retrieve(models.PointRequest.model_validate_json(body)))
    return [reads.record(one) for one in found]


def query(collection: Collection, body: bytes) -> Any:
    wanted = reads.query(Search.model_validate_json(body), collection.sizes)
    return collection.read(lambda shard: reads.scored(shard.query(wanted)))


def query_batch(collection: Collection, body: bytes) -> Any:
    searches = Searches.model_validate_json(body).searches
    wanted = engine.QueryBatchRequest([reads.query(one, collection.sizes) for one in searches])
    return collection.read(lambda shard: [reads.scored(found) for found in shard.query_batch(wanted)])


def scroll(collection: Collection, body: bytes) -> Any:
    wanted = reads.scroll(models.ScrollRequest.model_validate_json(body))
    points, following = collection.read(lambda shard: shard.scroll(wanted))
    return {"points": [reads.record(one) for one in points], "next_page_offset": following}


def count(collection: Collection, body: bytes) -> Any:
    given = models.CountRequest.model_validate_json(body)
    wanted = engine.CountRequest(given.exact is not False, optional_filter(given.filter))
    return {"count": collection.read(lambda shard: shard.count(wanted))}


ROUTES: list[tuple[str, str, Callable[[Collection, bytes], Any]]] = [
    ("GET", "", lambda collection, body: collection.info()),
    ("PUT", "/index", create_index),
    ("PUT", "/points", upsert),
    ("POST", "/points", retrieve),
    ("POST", "/points/delete", delete),
    ("POST", "/points/payload", set_payload),
    ("PUT", "/points/payload", overwrite_payload),
    ("POST", "/points/payload/delete", delete_payload),
    ("POST", "/points/payload/clear", clear_payload),
    ("PUT", "/points/vectors", update_vectors),
    ("POST", "/points/vectors/delete", delete_vectors),
    ("POST", "/points/batch", batch),
    ("POST", "/points/query", query),
    ("POST", "/points/query/batch", query_batch),
    ("POST", "/points/scroll", scroll),
    ("POST", "/points/count", count),
]
