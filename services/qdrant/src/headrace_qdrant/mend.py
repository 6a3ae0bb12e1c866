"""Writes that do not pass the fence: they replace a point that is wrong under the version that it has."""

from qdrant_client import models

from headrace_qdrant.points import upsert_below
from headrace_schemas.embedded import EmbeddedChange
from headrace_worker.scan import Scanned


def in_place_of(seen: Scanned, point: int | str, change: EmbeddedChange) -> models.PointsList:
    """The whole point of the change under this id, on condition that the point there still has the version and the
    digest that were seen.
    """
    (written,) = upsert_below([change], change.version).points
    stored = seen.stored
    conditions: list[models.Condition] = [models.HasIdCondition(has_id=[point])]
    # A version of 0 stands for none.
    for name, value in (("version", stored.version or None), ("digest", stored.digest)):
        if value is None:
            conditions.append(models.IsEmptyCondition(is_empty=models.PayloadField(key=name)))
        else:
            conditions.append(models.FieldCondition(key=name, match=models.MatchValue(value=value)))
    moved = models.PointStruct.model_construct(id=point, vector=written.vector, payload=written.payload)
    return models.PointsList(points=[moved], update_filter=models.Filter(must=conditions))
