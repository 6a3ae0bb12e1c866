"""What a catalogue publishes: the change of one product or one keyword."""

from typing import ClassVar, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from headrace_schemas.fields import Attributes, EntityId, KeywordText, Kind, Number, Op, Text, Title, Version
from headrace_schemas.headers import SCHEMA_MAJOR


class Change(BaseModel):
    """One change of one entity. `version` orders the changes of an id, deletes included; times do not.

    Unknown fields are ignored, so that records of a newer catalogue do not become dead letters.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    kind: ClassVar[Kind]
    schema_name: ClassVar[str]
    schema_major: ClassVar[int] = SCHEMA_MAJOR

    op: Op = Field(description="upsert: the entity as it is now; delete: the entity is removed")
    version: Version = Field(description="grows with every change of the same id; 1 to 2^63-1")
    occurred_at: AwareDatetime = Field(description="when the source changed, with its time zone")

    @property
    def id(self) -> str:
        """The entity's id, under one name for all kinds."""
        raise NotImplementedError

    @property
    def deleted(self) -> bool:
        """Whether this change removes the entity."""
        return self.op == "delete"

    def fields(self) -> dict[str, object]:
        """The entity's own fields under the names they have in every store, id first."""
        return {name: getattr(self, name) for name in self.field_names}

    field_names: ClassVar[tuple[str, ...]]


class ProductChange(Change):
    """An upsert or a delete of a product."""

    kind: ClassVar[Kind] = "product"
    schema_name: ClassVar[str] = "product-change"
    field_names: ClassVar[tuple[str, ...]] = (
        "product_id", "title", "description", "brand", "category", "price", "currency", "attributes", "locale",
    )  # fmt: skip

    product_id: EntityId
    title: Title | None = None
    description: Text | None = None
    brand: Text | None = None
    category: Text | None = None
    price: Number | None = None
    currency: Text | None = None
    attributes: Attributes | None = None
    locale: Text | None = None

    @property
    def id(self) -> str:
        return self.product_id

    @model_validator(mode="after")
    def _an_upsert_has_a_title(self) -> Self:
        if self.op == "upsert" and not (self.title and self.title.strip()):
            raise ValueError("an upsert of a product needs a title")
        return self


class KeywordChange(Change):
    """An upsert or a delete of a keyword."""

    kind: ClassVar[Kind] = "keyword"
    schema_name: ClassVar[str] = "keyword-change"
    field_names: ClassVar[tuple[str, ...]] = ("keyword_id", "text", "locale", "popularity")

    keyword_id: EntityId
    text: KeywordText | None = None
    locale: Text | None = None
    popularity: Number | None = None

    @property
    def id(self) -> str:
        return self.keyword_id

    @model_validator(mode="after")
    def _an_upsert_has_a_text(self) -> Self:
        if self.op == "upsert" and not (self.text and self.text.strip()):
            raise ValueError("an upsert of a keyword needs a text")
        return self


CHANGES: dict[Kind, type[ProductChange] | type[KeywordChange]] = {"product": ProductChange, "keyword": KeywordChange}
ID_FIELDS: dict[Kind, str] = {"product": "product_id", "keyword": "keyword_id"}
