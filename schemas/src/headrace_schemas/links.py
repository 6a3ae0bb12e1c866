"""Which keywords a product is linked to, and the request to work that out again."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from headrace_schemas.fields import EntityId, Number, Text, Version


class RelinkRequest(BaseModel):
    """Asks for one product's links to be computed from what is current; it says nothing about what changed."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    schema_name: ClassVar[str] = "relink-request"

    product_id: EntityId


class Sweep(BaseModel):
    """Asks for every product's links to be computed again; markers coalesce."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    schema_name: ClassVar[str] = "sweep"

    sweep: Literal[True] = True


class Link(BaseModel):
    """One keyword of a product. `score`: cosine, -1 to 1; `rank`: from 1, best first."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    keyword_id: EntityId
    text: Text
    score: Number
    rank: int = Field(ge=1)


class ProductLinks(BaseModel):
    """The whole link set of one product, replaced as a set; `version` is the link version, which fences it."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    schema_name: ClassVar[str] = "product-links"

    product_id: EntityId
    version: Version
    deleted: bool = False
    title: Text | None = None
    links: list[Link] = []
