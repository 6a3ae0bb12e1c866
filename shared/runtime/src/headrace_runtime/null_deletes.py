"""Deletes that a catalogue publishes as a record without a value, with the version in a header."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ValidationError

from headrace_runtime.validation import invalid
from headrace_schemas.changes import Change
from headrace_schemas.fields import MAX_DIGITS, MAX_VERSION
from headrace_worker.stage import Rejected

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WITHOUT_VERSION = (
    "a null value is a delete only with a headrace-version header; NULL_WITHOUT_VERSION=ignore skips these"
)


def null_delete(model: type[Any], key: bytes | None, version: bytes | None, timestamp: int) -> Change | Rejected:
    """The delete of the entity with this key, or why it is none. `version`: the record's header, if it has one.
    `timestamp`: milliseconds since 1970.
    """
    if not issubclass(model, Change):
        return Rejected("invalid", "only a product or a keyword is deleted by a null value", ("value",))
    if version is None:
        return Rejected("null_without_version", WITHOUT_VERSION, ("value",), words=WITHOUT_VERSION)
    if not (version.isdigit() and len(version) <= MAX_DIGITS and 1 <= int(version) <= MAX_VERSION):
        return Rejected("invalid", "headrace-version is not an integer from 1 to 2^63-1", ("headrace-version",))
    try:
        return model.model_validate(
            {
                "op": "delete",
                _id_field(model): (key or b"").decode(),
                "version": int(version),
                "occurred_at": EPOCH + timedelta(milliseconds=timestamp),
            }
        )
    except ValidationError as error:
        return invalid(error)
    except UnicodeDecodeError:
        return Rejected("invalid", "the key of a delete is not UTF-8", ("key",))
    except OverflowError:
        return Rejected("invalid", "the timestamp of a delete is outside the years 1 to 9999", ("timestamp",))


def _id_field(model: type[BaseModel]) -> str:
    return next(name for name in ("product_id", "keyword_id") if name in model.model_fields)
