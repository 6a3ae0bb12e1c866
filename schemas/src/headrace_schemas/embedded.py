"""A change together with the vector of its text."""

import base64
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, model_validator

from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_schemas.fields import Kind, Text


def _vector_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        data = value
    elif isinstance(value, str):
        try:
            data = base64.b64decode(value, validate=True)
        except ValueError:
            raise ValueError("a vector is float32 little-endian in base64") from None
    else:
        raise ValueError("a vector is float32 little-endian in base64")
    if not data or len(data) % 4:
        raise ValueError(f"a vector has 4 bytes for each dimension, this one has {len(data)} bytes")
    return data


VectorBytes = Annotated[
    bytes,
    PlainValidator(_vector_bytes, json_schema_input_type=str),
    PlainSerializer(lambda data: base64.b64encode(data).decode(), return_type=str, when_used="json"),
]


class Embedding(BaseModel):
    """`vector`: (d,) float32 little-endian, L2-normalised; base64 in JSON. `model`: its id in the model catalogue."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model: Text
    content_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of the exact text that was embedded, prefix included"
    )
    vector: VectorBytes


class Embedded(BaseModel):
    """What `embed` adds to a change. A delete has no embedding."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    embedding: Embedding | None = None
    digest: Annotated[str, Field(pattern=r"^[0-9]+:[0-9]+:[!-~]+$")] | None = Field(
        default=None, description="the digest of the change, <form>:<version>:<hash>; absent from older records"
    )


class EmbeddedProduct(ProductChange, Embedded):
    """A product change with the vector of the product's text."""

    schema_name: ClassVar[str] = "embedded-product"

    @model_validator(mode="after")
    def _an_upsert_has_a_vector(self) -> Self:
        _check_vector(self, self.embedding)
        return self


class EmbeddedKeyword(KeywordChange, Embedded):
    """A keyword change with the vector of its text."""

    schema_name: ClassVar[str] = "embedded-keyword"

    @model_validator(mode="after")
    def _an_upsert_has_a_vector(self) -> Self:
        _check_vector(self, self.embedding)
        return self


def _check_vector(record: ProductChange | KeywordChange, embedding: Embedding | None) -> None:
    if record.deleted == (embedding is not None):
        raise ValueError("an upsert has an embedding, and a delete has none")


EMBEDDED: dict[Kind, type[EmbeddedProduct] | type[EmbeddedKeyword]] = {
    "product": EmbeddedProduct,
    "keyword": EmbeddedKeyword,
}
EmbeddedChange = EmbeddedProduct | EmbeddedKeyword
