"""The link set of a product, and the requests to compute it again."""

from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator

from headrace_schemas.fields import EntityId, Number, RecordKind, Text, Version
from headrace_schemas.headers import SCHEMA_MAJOR


class RelinkRequest(BaseModel):
    """Asks for one product's links to be computed again from the current data; it does not contain the change.

    Its key is the product's id. It shares a topic with the sweep; the header `headrace-schema` distinguishes them.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    kind: ClassVar[RecordKind] = "relink"
    schema_name: ClassVar[str] = "relink-request"
    schema_major: ClassVar[int] = SCHEMA_MAJOR

    product_id: EntityId
    republish: bool = Field(False, description="publish the links even if they have not changed")

    @property
    def id(self) -> str:
        """The product's id."""
        return self.product_id


class Sweep(BaseModel):
    """Asks for all products' links to be computed again. Of several equal sweeps one is done. Its key is its `id`.

    A sweep of a large catalogue has several parts: `part` of `parts`, by the products' point ids.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    kind: ClassVar[RecordKind] = "sweep"
    schema_name: ClassVar[str] = "sweep"
    schema_major: ClassVar[int] = SCHEMA_MAJOR

    sweep: Literal[True] = True
    part: int = Field(0, ge=0, description="counted from 0")
    parts: int = Field(1, ge=1)
    republish: bool = Field(False, description="publish the links of every product even if they have not changed")
    expired: dict[int, int] | None = Field(
        None,
        description="the sweep replaces link sets that expired before a worker read them: by partition of the topic of "
        "link sets, the first offset that is left",
    )

    @property
    def id(self) -> str:
        """Identifies what it asks for: of several sweeps with one id, one is done."""
        part = f" {self.part} of {self.parts}" if self.parts > 1 else ""
        # A sweep that is done already for some expired sets must not count as another one, which asks for more.
        expired = " ".join(f"{partition}:{first}" for partition, first in sorted((self.expired or {}).items()))
        return f"sweep{part}{' again' if self.republish else ''}{f' before {expired}' if expired else ''}"

    @model_validator(mode="after")
    def _the_part_is_one_of_the_parts(self) -> Self:
        if self.part >= self.parts:
            raise ValueError("a part is one of the parts, counted from 0")
        return self


class Link(BaseModel):
    """One keyword of a product. `score`: cosine, -1 to 1; `rank`: from 1, best first."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    keyword_id: EntityId
    text: Text
    score: Number
    rank: StrictInt = Field(ge=1)


class ProductLinks(BaseModel):
    """The whole link set of one product, which replaces the former one. Its fence is `version`, the link version.

    The link set of a live product has the product's title and may have no links; that of a deleted product has only its
    version.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    kind: ClassVar[RecordKind] = "product_links"
    schema_name: ClassVar[str] = "product-links"
    schema_major: ClassVar[int] = SCHEMA_MAJOR

    product_id: EntityId
    version: Version
    deleted: bool = False
    title: Text | None = None
    links: tuple[Link, ...] = Field((), description="best first, ranked from 1; no keyword twice")

    @property
    def id(self) -> str:
        """The product's id: there is one link set for each product."""
        return self.product_id

    @model_validator(mode="after")
    def _a_deleted_product_has_nothing_left(self) -> Self:
        if self.deleted and (self.links or self.title is not None):
            raise ValueError("the link set of a deleted product has neither title nor links")
        if not self.deleted and self.title is None:
            raise ValueError("the link set of a live product needs the product's title")
        return self

    @model_validator(mode="after")
    def _links_are_ranked(self) -> Self:
        if [link.rank for link in self.links] != list(range(1, len(self.links) + 1)):
            raise ValueError("links come best first, ranked from 1 without a gap")
        if len({link.keyword_id for link in self.links}) < len(self.links):
            raise ValueError("a product is linked to a keyword at most once")
        return self
