"""The bodies of searches and upserts. Validation tries the most frequent kind of vector first.

The client's models accept a dozen kinds of vectors and queries. To try each kind on hundreds of numbers takes several
times as long as to read the numbers.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from qdrant_client import models

Dense = list[float] | dict[str, list[float]]


class Nearest(BaseModel):
    """A query for the points nearest to one dense vector."""

    model_config = ConfigDict(extra="forbid")

    nearest: list[float]


Query = Annotated[list[float] | Nearest | models.QueryInterface | None, Field(union_mode="left_to_right")]


class Search(models.QueryRequest):
    """One query. Kinds that are not supported are refused later."""

    query: Query = None  # type: ignore[assignment]


class Searches(BaseModel):
    """A batch of queries."""

    searches: list[Search]


class Point(models.PointStruct):
    """A point; sparse vectors and several vectors of one name are refused later."""

    vector: Annotated[Dense | models.VectorStruct, Field(union_mode="left_to_right")]  # type: ignore[assignment]


class Points(models.PointsList):
    """Points to write."""

    points: list[Point]  # type: ignore[assignment]
