"""Writes of the REST interface as operations of the engine. An invalid request is refused before a part is applied."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import qdrant_edge as engine
from qdrant_client import models

from headrace_local.qdrant_server.conditions import engine_filter, optional_filter, point_id
from headrace_local.qdrant_server.refusal import wrong_input

DEFAULT_VECTOR = ""


@dataclass(frozen=True, slots=True)
class VectorSizes:
    """The dense vectors of a collection by name (the unnamed one is ""), with their dimensions.

    The engine finds a bad vector only after it has applied the points before it, so all vectors are checked here.
    """

    sizes: Mapping[str, int]

    def check(self, name: str, vector: object) -> list[float]:
        """The vector, if the collection has one of that name and dimension; else a 400."""
        size = self.sizes.get(name)
        if size is None:
            raise wrong_input(f"Not existing vector name error: {name}")
        if not isinstance(vector, list) or (vector and isinstance(vector[0], list)):
            raise wrong_input("the development server supports only dense vectors")
        if len(vector) != size:
            raise wrong_input(f"Vector dimension error: expected dim: {size}, got {len(vector)}")
        return vector

    def of_point(self, given: object) -> engine.Vector:
        if isinstance(given, dict):
            return {name: self.check(name, vector) for name, vector in given.items()}
        return self.check(DEFAULT_VECTOR, given)


def upsert(wanted: models.PointsList | models.PointsBatch, sizes: VectorSizes) -> list[engine.UpdateOperation]:
    points = wanted.points if isinstance(wanted, models.PointsList) else _rows(wanted.batch)
    prepared = [engine.Point(point_id(one.id), sizes.of_point(one.vector), one.payload or {}) for one in points]
    mode = getattr(engine.UpdateMode, _camel(wanted.update_mode.value)) if wanted.update_mode else None
    return [engine.UpdateOperation.upsert_points(prepared, optional_filter(wanted.update_filter), mode)]


def delete(wanted: models.PointIdsList | models.FilterSelector) -> list[engine.UpdateOperation]:
    if isinstance(wanted, models.FilterSelector):
        return [engine.UpdateOperation.delete_points_by_filter(engine_filter(wanted.filter))]
    return [engine.UpdateOperation.delete_points(_ids(wanted.points))]


def set_payload(wanted: models.SetPayload) -> list[engine.UpdateOperation]:
    if wanted.points is not None:
        return [engine.UpdateOperation.set_payload(_ids(wanted.points), wanted.payload, wanted.key)]
    return [engine.UpdateOperation.set_payload_by_filter(_filter(wanted.filter), wanted.payload, wanted.key)]


def overwrite_payload(wanted: models.SetPayload) -> list[engine.UpdateOperation]:
    if wanted.points is not None:
        return [engine.UpdateOperation.overwrite_payload(_ids(wanted.points), wanted.payload, wanted.key)]
    return [engine.UpdateOperation.overwrite_payload_by_filter(_filter(wanted.filter), wanted.payload, wanted.key)]


def delete_payload(wanted: models.DeletePayload) -> list[engine.UpdateOperation]:
    if wanted.points is not None:
        return [engine.UpdateOperation.delete_payload(_ids(wanted.points), wanted.keys)]
    return [engine.UpdateOperation.delete_payload_by_filter(_filter(wanted.filter), wanted.keys)]


def clear_payload(wanted: models.PointIdsList | models.FilterSelector) -> list[engine.UpdateOperation]:
    if isinstance(wanted, models.FilterSelector):
        return [engine.UpdateOperation.clear_payload_by_filter(engine_filter(wanted.filter))]
    return [engine.UpdateOperation.clear_payload(_ids(wanted.points))]


def update_vectors(wanted: models.UpdateVectors, sizes: VectorSizes) -> list[engine.UpdateOperation]:
    vectors = [engine.PointVectors(point_id(one.id), sizes.of_point(one.vector)) for one in wanted.points]
    return [engine.UpdateOperation.update_vectors(vectors, optional_filter(wanted.update_filter))]


def delete_vectors(wanted: models.DeleteVectors, sizes: VectorSizes) -> list[engine.UpdateOperation]:
    if unknown := [name for name in wanted.vector if name not in sizes.sizes]:
        raise wrong_input(f"Not existing vector name error: {unknown[0]}")
    operations = []
    if wanted.points:
        operations.append(engine.UpdateOperation.delete_vectors(_ids(wanted.points), wanted.vector))
    if wanted.filter:
        operations.append(engine.UpdateOperation.delete_vectors_by_filter(_filter(wanted.filter), wanted.vector))
    return operations


def one_of_batch(wanted: models.UpdateOperation, sizes: VectorSizes) -> list[engine.UpdateOperation]:
    match wanted:
        case models.UpsertOperation():
            return upsert(wanted.upsert, sizes)
        case models.DeleteOperation():
            return delete(wanted.delete)
        case models.SetPayloadOperation():
            return set_payload(wanted.set_payload)
        case models.OverwritePayloadOperation():
            return overwrite_payload(wanted.overwrite_payload)
        case models.DeletePayloadOperation():
            return delete_payload(wanted.delete_payload)
        case models.ClearPayloadOperation():
            return clear_payload(wanted.clear_payload)
        case models.UpdateVectorsOperation():
            return update_vectors(wanted.update_vectors, sizes)
        case models.DeleteVectorsOperation():
            return delete_vectors(wanted.delete_vectors, sizes)


def field_index(wanted: models.CreateFieldIndex) -> engine.UpdateOperation:
    """An index on a payload field, by its type alone: further parameters only tune it."""
    schema = wanted.field_schema
    if schema is None:
        raise wrong_input("field_schema is needed")
    kind = schema if isinstance(schema, models.PayloadSchemaType) else schema.type
    return engine.UpdateOperation.create_field_index(
        wanted.field_name, getattr(engine.PayloadSchemaType, str(kind.value).capitalize())
    )


def drop_index(field: str) -> engine.UpdateOperation:
    return engine.UpdateOperation.delete_field_index(field)


def _rows(columns: models.Batch) -> list[models.PointStruct]:
    payloads: Sequence[dict[str, Any] | None] = columns.payloads or [None] * len(columns.ids)
    vectors: Iterable[Any]
    if isinstance(columns.vectors, dict):
        named = columns.vectors
        vectors = [{name: named[name][row] for name in named} for row in range(len(columns.ids))]
    else:
        vectors = columns.vectors
    return [
        models.PointStruct.model_construct(id=id, vector=vector, payload=payload)
        for id, vector, payload in zip(columns.ids, vectors, payloads, strict=True)
    ]


def _ids(given: Iterable[int | str | uuid.UUID]) -> list[engine.PointId]:
    return [point_id(one) for one in given]


def _filter(given: models.Filter | None) -> engine.Filter:
    if given is None:
        raise wrong_input("either points or filter is needed")
    return engine_filter(given)


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
