"""The field types that every record shares, with the limits that hold in all stores.

One rule for all stores: a value that Elasticsearch, PostgreSQL or Qdrant refuses is invalid for every store, because
otherwise the stores would differ.
"""

import re
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt
from pydantic_core import PydanticKnownError

Kind = Literal["product", "keyword"]
"""The entities of a catalogue."""
RecordKind = Literal["product", "keyword", "product_links", "relink", "sweep", "receipts"]
"""The subject of a record: an entity, a link set, a request for link sets, or receipts. Two records of one kind and id
are about the same thing.
"""
Op = Literal["upsert", "delete"]

MAX_ID_BYTES = 512
"""Elasticsearch refuses a longer `_id`, and with it the whole bulk request."""
MAX_VERSION = 2**63 - 1
"""The largest value of PostgreSQL's bigint, Elasticsearch's external version and Qdrant's integer payload."""
MAX_DIGITS = len(str(MAX_VERSION))
"""The most digits of a number in a header. Python raises an error for a number of more than 4300 digits."""
MAX_TITLE = 10_000
"""Characters. A model reads no more than the first 1,000 words of a product, so that a longer title is an error of the
catalogue. A description has no limit of its own: it may fill the record.
"""
MAX_KEYWORD_TEXT = 1000
"""Characters. Each product's link set contains the texts of its keywords, and must fit into one record."""
MAX_DEPTH = 20
"""Elasticsearch's `flattened` type refuses an object that is nested deeper."""
DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
"""Text that is a number: ASCII digits, optionally with a sign, a fraction and an exponent, and nothing around them.
Each digit can be matched in one way only: a text that is no number is refused in a time that grows with its length, and
not with the square of it.
"""
MAX_ATTRIBUTE_KEY_BYTES = 512
"""Far below Lucene's limit of 32,766 bytes for a term, which includes the key of a flattened field."""


def _storable_text(text: str) -> str:
    if "\x00" in text:
        raise ValueError("contains U+0000, which PostgreSQL cannot store: remove it at the source")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("contains half of a surrogate pair, which is not text: remove it at the source") from None
    return text


def _entity_id(text: str) -> str:
    size = len(_storable_text(text).encode())
    if not 1 <= size <= MAX_ID_BYTES:
        raise ValueError(f"an id has 1 to {MAX_ID_BYTES} bytes of UTF-8, this one has {size}")
    return text


def _storable_object(value: dict[str, Any]) -> dict[str, Any]:
    _check_nested(value, 1)
    return value


def _check_nested(value: dict[str, Any] | list[Any], depth: int) -> None:
    """Raises ValueError for a key or value that a store refuses. `depth`: of this object or list, from 1."""
    if depth + bool(value) > MAX_DEPTH:
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        for key in value:
            if not 1 <= len(_storable_text(key).encode()) <= MAX_ATTRIBUTE_KEY_BYTES:
                raise ValueError(f"has a key of more than {MAX_ATTRIBUTE_KEY_BYTES} bytes, or an empty one")
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, str):
            _storable_text(item)
        elif isinstance(item, dict | list):
            _check_nested(item, depth + 1)
        elif isinstance(item, int) and not -(2**63) <= item < 2**63:
            raise ValueError("contains an integer that does not fit 64 bits: send it as text")
        elif isinstance(item, float) and not isfinite(item):
            raise ValueError("contains a number that is not finite")


def _no_lenient_number(value: object) -> object:
    """Refuses what pydantic would turn into a number: a boolean, and text such as 1_000 or text with spaces."""
    if isinstance(value, str):
        if not DECIMAL.fullmatch(value):
            raise PydanticKnownError("float_parsing")
    elif isinstance(value, bool):
        raise PydanticKnownError("float_type")
    return value


EntityId = Annotated[str, AfterValidator(_entity_id)]
Text = Annotated[str, AfterValidator(_storable_text)]
Title = Annotated[str, Field(max_length=MAX_TITLE), AfterValidator(_storable_text)]
KeywordText = Annotated[str, Field(max_length=MAX_KEYWORD_TEXT), AfterValidator(_storable_text)]
Version = Annotated[StrictInt, Field(ge=1, le=MAX_VERSION)]
Attributes = Annotated[dict[str, Any], AfterValidator(_storable_object)]
Number = Annotated[float, BeforeValidator(_no_lenient_number), Field(allow_inf_nan=False)]
"""A JSON number, or its digits as text (`DECIMAL`)."""
